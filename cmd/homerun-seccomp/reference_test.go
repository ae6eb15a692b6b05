//go:build cgo

package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"

	"github.com/homerun-oci/homerun/seccomp/bpf"
	"github.com/homerun-oci/homerun/seccomp/bpf/bpftest"
)

// reference compiles a profile the way the other runtimes do: straight calls
// of libseccomp, rules equal to the default skipped, nothing in front. It
// shares nothing with the program under test but the library.
func reference(s *specs.LinuxSeccomp) ([]bpf.Instruction, error) {
	def := referenceAction(s.DefaultAction, s.DefaultErrnoRet)
	f, err := libseccomp.NewFilter(def)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	for _, a := range s.Architectures {
		arch, err := libseccomp.GetArchFromString(strings.TrimPrefix(string(a), "SCMP_ARCH_"))
		if err != nil {
			return nil, err
		}
		if err := f.AddArch(arch); err != nil {
			return nil, err
		}
	}
	for _, r := range s.Syscalls {
		if act := referenceAction(r.Action, r.ErrnoRet); act != def {
			if err := referenceRule(f, r, act); err != nil {
				return nil, err
			}
		}
	}
	return referenceExport(f)
}

func referenceAction(a specs.LinuxSeccompAction, ret *uint) libseccomp.ScmpAction {
	n := int16(1)
	if ret != nil {
		n = int16(*ret)
	}
	switch a {
	case specs.ActErrno:
		return libseccomp.ActErrno.SetReturnCode(n)
	case specs.ActTrace:
		return libseccomp.ActTrace.SetReturnCode(n)
	}
	return map[specs.LinuxSeccompAction]libseccomp.ScmpAction{
		specs.ActAllow: libseccomp.ActAllow, specs.ActKill: libseccomp.ActKillThread,
		specs.ActKillThread: libseccomp.ActKillThread, specs.ActKillProcess: libseccomp.ActKillProcess,
		specs.ActTrap: libseccomp.ActTrap, specs.ActLog: libseccomp.ActLog, specs.ActNotify: libseccomp.ActNotify,
	}[a]
}

func referenceRule(f *libseccomp.ScmpFilter, r specs.LinuxSyscall, act libseccomp.ScmpAction) error {
	ops := map[specs.LinuxSeccompOperator]libseccomp.ScmpCompareOp{
		specs.OpNotEqual: libseccomp.CompareNotEqual, specs.OpLessThan: libseccomp.CompareLess,
		specs.OpLessEqual: libseccomp.CompareLessOrEqual, specs.OpEqualTo: libseccomp.CompareEqual,
		specs.OpGreaterEqual: libseccomp.CompareGreaterEqual, specs.OpGreaterThan: libseccomp.CompareGreater,
		specs.OpMaskedEqual: libseccomp.CompareMaskedEqual,
	}
	var conds []libseccomp.ScmpCondition
	uses, twice := map[uint]int{}, false
	for _, a := range r.Args {
		conds = append(conds, libseccomp.ScmpCondition{Argument: a.Index, Op: ops[a.Op], Operand1: a.Value, Operand2: a.ValueTwo})
		uses[a.Index]++
		twice = twice || uses[a.Index] > 1
	}
	for _, name := range r.Names {
		nr, err := libseccomp.GetSyscallFromName(name)
		if err != nil {
			continue
		}
		switch {
		case len(conds) == 0:
			err = f.AddRule(nr, act)
		case !twice:
			err = f.AddRuleConditional(nr, act, conds)
		default:
			for _, c := range conds {
				if err = f.AddRuleConditional(nr, act, []libseccomp.ScmpCondition{c}); err != nil {
					break
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func referenceExport(f *libseccomp.ScmpFilter) ([]bpf.Instruction, error) {
	tmp, err := os.CreateTemp("", "bpf")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if err := f.ExportBPF(tmp); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(tmp.Name())
	if err != nil {
		return nil, err
	}
	return bpf.Parse(b)
}

// matches is a third opinion: a rule's conditions read straight from the
// specification.
func matches(args []specs.LinuxSeccompArg, d bpftest.Data) bool {
	if len(args) == 0 {
		return true
	}
	uses, any, all, twice := map[uint]int{}, false, true, false
	for _, a := range args {
		yes := holds(a, d.Args[a.Index])
		any, all = any || yes, all && yes
		uses[a.Index]++
		twice = twice || uses[a.Index] > 1
	}
	if twice {
		return any
	}
	return all
}

func holds(a specs.LinuxSeccompArg, v uint64) bool {
	switch a.Op {
	case specs.OpNotEqual:
		return v != a.Value
	case specs.OpLessThan:
		return v < a.Value
	case specs.OpLessEqual:
		return v <= a.Value
	case specs.OpEqualTo:
		return v == a.Value
	case specs.OpGreaterEqual:
		return v >= a.Value
	case specs.OpGreaterThan:
		return v > a.Value
	}
	return v&a.Value == a.ValueTwo
}

func decodeProfile(t testing.TB, raw []byte) *specs.LinuxSeccomp {
	t.Helper()
	var s specs.LinuxSeccomp
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}
