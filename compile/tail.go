package compile

import (
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
)

// Theory of operation
//
// A step that fails after the wait for start is told to `start`, which has no plan:
// what it needs to explain the failure is recorded when the plan is compiled. Of an
// operation that is its kind and a path, for those that say more than their errno.

// Kind is the kind of an operation in a Tail; empty for one that needs no more words
// than its errno has.
type Kind string

// The kinds whose failures are explained.
const (
	KindExec       Kind = "execve"
	KindAccess     Kind = "faccessat"
	KindDirectory  Kind = "chdir"
	KindGroups     Kind = "setgroups"
	KindGID        Kind = "setresgid"
	KindUID        Kind = "setresuid"
	KindCapability Kind = "capset"
)

// TailStep is a step after the wait for start.
type TailStep struct {
	Kind Kind `json:"kind,omitempty"`
	// Path is the operation's.
	Path string `json:"path,omitempty"`
	// Text is the call, What, Subject and Pointer are the step's.
	Text    string `json:"text"`
	What    string `json:"what,omitempty"`
	Subject string `json:"subject,omitempty"`
	Pointer string `json:"pointer,omitempty"`
}

// Tail are the steps after the wait for start, and how many there are in all.
type Tail struct {
	Total int        `json:"total"`
	Steps []TailStep `json:"steps"`
}

// Tail is that of a plan that waits for start; of another one it is empty.
func (r *Result) Tail() Tail {
	t := Tail{Total: r.Plan.Len()}
	for i := r.Plan.Len() - 1; i >= 0; i-- {
		s := r.Plan.Step(i)
		kind, path := kindOf(s.Op)
		t.Steps = append(t.Steps, TailStep{kind, path, r.Plan.Text(i), s.What, s.Subject, s.Pointer})
		if s.Awaits == "start" {
			return t
		}
	}
	return Tail{}
}

func kindOf(op plan.Operation) (Kind, string) {
	switch o := op.(type) {
	case plan.Execve:
		return KindExec, ""
	case plan.Faccessat:
		return KindAccess, o.Path
	case plan.Chdir:
		return KindDirectory, o.Path
	case plan.Setgroups:
		return KindGroups, ""
	case plan.Setresgid:
		return KindGID, ""
	case plan.Setresuid:
		return KindUID, ""
	case plan.Capset:
		return KindCapability, ""
	}
	return "", ""
}

// operation is one of that kind.
func (s *TailStep) operation() plan.Operation {
	switch s.Kind {
	case KindExec:
		return plan.Execve{}
	case KindAccess:
		return plan.Faccessat{Path: s.Path}
	case KindDirectory:
		return plan.Chdir{Path: s.Path}
	case KindGroups:
		return plan.Setgroups{}
	case KindGID:
		return plan.Setresgid{}
	case KindUID:
		return plan.Setresuid{}
	case KindCapability:
		return plan.Capset{}
	}
	return nil
}

// Explain is Explain for the step that is the nth from the end, which is 1. Of one
// that was not recorded it has the errno.
func (t *Tail) Explain(nth, result int) *fault.Error {
	step, call := plan.Step{Reason: &plan.Reason{What: "start the program"}}, ""
	if nth >= 1 && nth <= len(t.Steps) {
		s := &t.Steps[nth-1]
		step = plan.Step{Op: s.operation(), Reason: &plan.Reason{What: s.What, Subject: s.Subject, Pointer: s.Pointer}}
		if call = s.Text; nth == len(t.Steps) {
			step.Awaits = "start"
		}
	}
	return explain(step, call, t.Total-nth+1, t.Total, result).refine(&host.Facts{}, result)
}
