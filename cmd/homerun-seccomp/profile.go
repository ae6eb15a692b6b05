package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/bpf"
)

// profile is linux.seccomp after validation: names resolved to numbers as far
// as that needs no libseccomp.
type profile struct {
	action        uint32 // default action as a filter's return value
	architectures []bpf.Arch
	flags         uint
	rules         []rule
	path          string // listenerPath
	metadata      string // listenerMetadata
}

// rule is one entry of syscalls.
type rule struct {
	where  string // syscalls[3]
	names  []string
	action uint32
	args   []arg
}

// arg is a condition on an argument.
type arg struct {
	index    uint
	operator int // index into seccomp.Operators
	value    uint64
	valueTwo uint64
}

const (
	eperm    = 1
	maxErrno = 4095 // the kernel's MAX_ERRNO; it cuts a larger one to this
	maxData  = 0xffff
)

// readProfile decodes and validates linux.seccomp. Errors name the place in
// the section.
func readProfile(raw []byte) (*profile, error) {
	var s specs.LinuxSeccomp
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("linux.seccomp: %w", err)
	}
	p := &profile{path: s.ListenerPath, metadata: s.ListenerMetadata}
	steps := []func(*specs.LinuxSeccomp) error{p.readDefault, p.readArchitectures, p.readRules, p.readFlags}
	for _, step := range steps {
		if err := step(&s); err != nil {
			return nil, fmt.Errorf("linux.seccomp.%w", err)
		}
	}
	return p, nil
}

func (p *profile) readDefault(s *specs.LinuxSeccomp) (err error) {
	if s.DefaultAction == specs.ActNotify {
		return fmt.Errorf("defaultAction: SCMP_ACT_NOTIFY would stop the calls with which the listener is sent")
	}
	p.action, err = action(s.DefaultAction, s.DefaultErrnoRet)
	if err != nil {
		return fmt.Errorf("defaultAction: %w", err)
	}
	return nil
}

// action gives the return value for an action. ERRNO and TRACE carry a number,
// EPERM when the profile gives none; the others must not have one (runtime
// specification, config-linux.md, errnoRet).
func action(a specs.LinuxSeccompAction, errnoRet *uint) (uint32, error) {
	value, ok := lookup(seccomp.Actions(), string(a))
	if !ok {
		return 0, fmt.Errorf("unknown action %q", a)
	}
	limit := uint(maxErrno)
	switch {
	case value == bpf.Trace:
		limit = maxData
	case value != bpf.Errno && errnoRet != nil:
		return 0, fmt.Errorf("%s takes no errnoRet", a)
	case value != bpf.Errno:
		return value, nil
	}
	if errnoRet == nil {
		return value | eperm, nil
	}
	if *errnoRet > limit {
		return 0, fmt.Errorf("errnoRet %d of %s is more than %d", *errnoRet, a, limit)
	}
	return value | uint32(*errnoRet), nil
}

func lookup(names []seccomp.Name, name string) (uint32, bool) {
	for _, n := range names {
		if n.Name == name {
			return n.Value, true
		}
	}
	return 0, false
}

func (p *profile) readArchitectures(s *specs.LinuxSeccomp) error {
	for i, name := range s.Architectures {
		a, ok := bpf.ArchByName(string(name))
		if !ok {
			return fmt.Errorf("architectures[%d]: unknown architecture %q", i, name)
		}
		p.architectures = append(p.architectures, a)
	}
	return nil
}

func (p *profile) readRules(s *specs.LinuxSeccomp) error {
	for i, c := range s.Syscalls {
		r := rule{where: fmt.Sprintf("syscalls[%d]", i), names: c.Names}
		var err error
		if r.action, err = action(c.Action, c.ErrnoRet); err != nil {
			return fmt.Errorf("%s.action: %w", r.where, err)
		}
		if err := r.readArgs(c.Args); err != nil {
			return err
		}
		if r.action == bpf.Notify && contains(r.names, "write") {
			return fmt.Errorf("%s.action: SCMP_ACT_NOTIFY cannot be used for write: the runtime needs it before the listener is served", r.where)
		}
		p.rules = append(p.rules, r)
	}
	return nil
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func (r *rule) readArgs(args []specs.LinuxSeccompArg) error {
	for i, a := range args {
		op := operator(string(a.Op))
		if op < 0 {
			return fmt.Errorf("%s.args[%d].op: unknown operator %q", r.where, i, a.Op)
		}
		if a.Index > 5 {
			return fmt.Errorf("%s.args[%d].index: %d: a system call has arguments 0 to 5", r.where, i, a.Index)
		}
		r.args = append(r.args, arg{a.Index, op, a.Value, a.ValueTwo})
	}
	return nil
}

func operator(name string) int {
	for i, o := range seccomp.Operators() {
		if o == name {
			return i
		}
	}
	return -1
}

// readFlags gathers the flags of seccomp(2). No member "flags" at all means
// SPEC_ALLOW, as with runc and crun; an empty list means none.
//
// The kernel refuses two combinations (kernel/seccomp.c, seccomp_set_mode_filter):
// WAIT_KILLABLE_RECV without a listener, which is dropped, as it has no meaning
// then, and a listener with TSYNC, unless TSYNC_ESRCH tells it how to report a
// thread that cannot be synchronized (5.7).
func (p *profile) readFlags(s *specs.LinuxSeccomp) error {
	if s.Flags == nil {
		p.flags = seccomp.FlagSpecAllow
	}
	for i, name := range s.Flags {
		value, ok := lookup(seccomp.Flags(), string(name))
		if !ok {
			return fmt.Errorf("flags[%d]: unknown flag %q", i, name)
		}
		p.flags |= uint(value)
	}
	if !p.notifies() {
		p.flags &^= seccomp.FlagWaitKillableRecv
		return nil
	}
	p.flags |= seccomp.FlagNewListener
	if p.flags&seccomp.FlagTSync != 0 {
		p.flags |= seccomp.FlagTSyncESRCH
	}
	return nil
}

func (p *profile) notifies() bool {
	for _, r := range p.rules {
		if r.action == bpf.Notify {
			return true
		}
	}
	return false
}

// conditions splits a rule's conditions into the groups that are added as one
// libseccomp rule each. Conditions on different arguments must all hold: one
// group. libseccomp cannot test an argument twice in a rule; docker's profiles
// mean, and runc and crun do, one rule per condition then, any of which
// matches.
func (r *rule) conditions() [][]arg {
	if len(r.args) == 0 {
		return [][]arg{nil}
	}
	seen := [6]bool{}
	for _, a := range r.args {
		if seen[a.index] {
			return r.apart()
		}
		seen[a.index] = true
	}
	return [][]arg{r.args}
}

func (r *rule) apart() [][]arg {
	groups := make([][]arg, len(r.args))
	for i, a := range r.args {
		groups[i] = []arg{a}
	}
	return groups
}
