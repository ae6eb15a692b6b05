//go:build cgo

package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	libseccomp "github.com/seccomp/libseccomp-golang"

	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/bpf"
)

// build compiles a profile. assemble.go says what the program is made of.
func build(p *profile, failUnknown bool) (*seccomp.Filter, error) {
	// The level depends on the kernel otherwise, and what depends on the
	// kernel is not the same on the next one. knownTo covers the actions.
	if libseccomp.SetAPI(7) != nil {
		_ = libseccomp.SetAPI(6)
	}
	l := &library{profile: p, mark: p.mark()}
	rules, err := l.rules()
	if err != nil {
		return nil, err
	}
	if len(l.unknown) > 0 && failUnknown {
		return nil, fmt.Errorf("linux.seccomp.%s, and annotation run.oci.seccomp_fail_unknown_syscall is set", l.unknown[0])
	}
	ints, err := l.intArguments()
	if err != nil {
		return nil, err
	}
	program, err := join(l.newer(), ints, rules)
	if err != nil {
		return nil, err
	}
	return &seccomp.Filter{
		Program: bpf.Bytes(program), Flags: p.flags, Listener: p.notifies(),
		ListenerPath: p.path, ListenerMetadata: p.metadata,
	}, nil
}

// rules compiles the guard and all other rules.
func (l *library) rules() ([]bpf.Instruction, error) {
	d := l.profile.action
	main, err := l.program(d, func(r *rule) bool { return r.action != d })
	if err != nil {
		return nil, err
	}
	guard, err := l.guard()
	if err != nil {
		return nil, err
	}
	return guarded(guard, main, l.mark), nil
}

// intArguments gives the part for arguments that the kernel cuts to 32 bits.
// Its programs are for the 64-bit architectures only: a 32-bit one has no upper
// halves, and socketcall's rules, made from socket's, would contradict each
// other there without the rule that the profile has for socketcall.
func (l *library) intArguments() ([]bpf.Instruction, error) {
	calls := l.profile.narrowCalls()
	arches := l.with64Bits()
	for i := range calls {
		c := &calls[i]
		one := &library{profile: l.profile.only(c.call), mark: l.mark}
		one.profile.architectures = arches
		program, err := one.rules()
		if err != nil {
			return nil, err
		}
		c.ignoreUpper(program)
		c.numbers = numbers(c.call, arches)
	}
	return narrowPart(arches, calls)
}

func (l *library) with64Bits() []bpf.Arch {
	var list []bpf.Arch
	for _, a := range l.withNative() {
		if a.Audit&is64Bit != 0 && a.Name != "SCMP_ARCH_X32" {
			list = append(list, a)
		}
	}
	return list
}

// numbers gives a call's number by architecture.
func numbers(call string, arches []bpf.Arch) map[uint32]uint32 {
	numbers := map[uint32]uint32{}
	for _, a := range arches {
		arch, err := libraryArch(a.Name)
		if err != nil {
			continue
		}
		if nr, err := libseccomp.GetSyscallFromNameByArch(call, arch); err == nil && nr >= 0 {
			numbers[a.Audit] = uint32(nr)
		}
	}
	return numbers
}

// mark is a return value that no rule of the profile has.
func (p *profile) mark() uint32 {
	for m := uint32(bpf.Trace | maxData); ; m-- {
		used := p.action == m
		for _, r := range p.rules {
			used = used || r.action == m
		}
		if !used {
			return m
		}
	}
}

// knownTo reports an action that the kernel lacks: it would kill the process
// instead (seccomp(2)). available is actions_avail, "" where /proc is not
// mounted.
func (p *profile) knownTo(available string) error {
	words := strings.Fields(available)
	if len(words) == 0 {
		return nil
	}
	for _, r := range append([]rule{{where: "defaultAction", action: p.action}}, p.rules...) {
		if name := kernelName(r.action); !contains(words, name) {
			return fmt.Errorf("linux.seccomp.%s: this kernel has no action %s (%s)", r.where, name, kernelActions)
		}
	}
	return nil
}

func kernelName(action uint32) string {
	switch action & bpf.ActionMask {
	case bpf.KillProcess:
		return "kill_process"
	case bpf.KillThread:
		return "kill_thread"
	case bpf.Trap:
		return "trap"
	case bpf.Errno:
		return "errno"
	case bpf.Notify:
		return "user_notif"
	case bpf.Trace:
		return "trace"
	case bpf.Log:
		return "log"
	}
	return "allow"
}

// library is one run of libseccomp over a profile.
type library struct {
	profile *profile
	mark    uint32
	unknown []string // system call names that libseccomp does not know
}

// guard compiles the rules that equal the default, or gives nil where there
// are none or the default lets calls through.
func (l *library) guard() ([]bpf.Instruction, error) {
	d := l.profile.action
	if d == bpf.Allow || d == bpf.Log {
		return nil, nil
	}
	own := func(r *rule) bool { return r.action == d }
	for i := range l.profile.rules {
		if own(&l.profile.rules[i]) {
			return l.program(l.mark, own)
		}
	}
	return nil, nil
}

// program compiles those rules that want takes.
func (l *library) program(action uint32, want func(*rule) bool) ([]bpf.Instruction, error) {
	f, err := libseccomp.NewFilter(libraryAction(action))
	if err != nil {
		return nil, fmt.Errorf("linux.seccomp.defaultAction: %w", err)
	}
	defer f.Release()
	if err := l.addArchitectures(f); err != nil {
		return nil, err
	}
	for i := range l.profile.rules {
		r := &l.profile.rules[i]
		if !want(r) {
			continue
		}
		if err := l.addRule(f, r); err != nil {
			return nil, fmt.Errorf("linux.seccomp.%s: %w", r.where, err)
		}
	}
	return export(f)
}

// addArchitectures adds the profile's architectures to the native one, which
// every filter has: a profile that leaves it out would kill the runtime's own
// first call.
func (l *library) addArchitectures(f *libseccomp.ScmpFilter) error {
	for i, a := range l.profile.architectures {
		arch, err := libraryArch(a.Name)
		if err == nil {
			err = f.AddArch(arch)
		}
		if err != nil {
			return fmt.Errorf("linux.seccomp.architectures[%d]: %s: %w", i, a.Name, err)
		}
	}
	return nil
}

func (l *library) addRule(f *libseccomp.ScmpFilter, r *rule) error {
	for i, name := range r.names {
		nr, err := libseccomp.GetSyscallFromName(name)
		if err != nil {
			l.unknown = append(l.unknown, fmt.Sprintf("%s.names[%d]: libseccomp %s does not know %q", r.where, i, libraryVersion(), name))
			continue
		}
		for _, group := range r.conditions() {
			if err := f.AddRuleConditional(nr, libraryAction(r.action), conditions(group)); err != nil {
				return fmt.Errorf("names[%d]: %q: contradicts another rule or cannot be compiled: %w", i, name, err)
			}
		}
	}
	return nil
}

func conditions(args []arg) []libseccomp.ScmpCondition {
	var list []libseccomp.ScmpCondition
	for _, a := range args {
		list = append(list, libseccomp.ScmpCondition{
			Argument: a.index,
			Op:       libseccomp.CompareNotEqual + libseccomp.ScmpCompareOp(a.operator),
			Operand1: a.value,
			Operand2: a.valueTwo,
		})
	}
	return list
}

// newer gives part 1 of the program, for a default of ERRNO: other defaults
// either let new calls through or are meant to be noticed.
func (l *library) newer() []bpf.Instruction {
	d := l.profile.action
	if d&bpf.ActionMask != bpf.Errno || d == bpf.Errno|enosys {
		return nil
	}
	var list []newest
	for _, a := range l.withNative() {
		if nr, ok := l.newestOn(a); ok {
			list = append(list, newest{a, nr})
		}
	}
	return newerCalls(list)
}

func (l *library) withNative() []bpf.Arch {
	native, err := libseccomp.GetNativeArch()
	list := l.profile.architectures
	for _, a := range seccomp.Architectures() {
		arch, err2 := libraryArch(a)
		if err != nil || err2 != nil || arch != native {
			continue
		}
		b, _ := bpf.ArchByName(a)
		list = append([]bpf.Arch{b}, list...)
	}
	return unique(list)
}

func unique(list []bpf.Arch) []bpf.Arch {
	var out []bpf.Arch
	seen := map[string]bool{}
	for _, a := range list {
		if !seen[a.Name] {
			out = append(out, a)
		}
		seen[a.Name] = true
	}
	return out
}

// newestOn gives the highest number that the profile mentions on an
// architecture. libseccomp gives names that the architecture lacks negative
// numbers of its own.
func (l *library) newestOn(a bpf.Arch) (top uint32, ok bool) {
	arch, err := libraryArch(a.Name)
	if err != nil {
		return 0, false
	}
	limit := uint32(privateNumbers)
	if arch == libseccomp.ArchX32 {
		limit = x32Numbers
	}
	for _, r := range l.profile.rules {
		for _, name := range r.names {
			nr, err := libseccomp.GetSyscallFromNameByArch(name, arch)
			if err != nil || nr < 0 {
				continue
			}
			if n := uint32(nr) &^ bpf.X32Bit; n < limit {
				top, ok = max(top, n), true
			}
		}
	}
	return top, ok
}

// libraryArch gives libseccomp's constant for a name of config.json.
func libraryArch(name string) (libseccomp.ScmpArch, error) {
	arch, err := libseccomp.GetArchFromString(strings.ToLower(strings.TrimPrefix(name, "SCMP_ARCH_")))
	if err != nil {
		return arch, err
	}
	_, err = libseccomp.GetSyscallFromNameByArch("read", arch)
	return arch, err
}

// libraryAction gives libseccomp-golang's form of a filter's return value.
func libraryAction(value uint32) libseccomp.ScmpAction {
	data := int16(value & maxData)
	switch value & bpf.ActionMask {
	case bpf.KillProcess:
		return libseccomp.ActKillProcess
	case bpf.KillThread:
		return libseccomp.ActKillThread
	case bpf.Trap:
		return libseccomp.ActTrap
	case bpf.Errno:
		return libseccomp.ActErrno.SetReturnCode(data)
	case bpf.Notify:
		return libseccomp.ActNotify
	case bpf.Trace:
		return libseccomp.ActTrace.SetReturnCode(data)
	case bpf.Log:
		return libseccomp.ActLog
	case bpf.Allow:
		return libseccomp.ActAllow
	}
	return libseccomp.ActInvalid
}

// export gives the program. libseccomp 2.5 writes to a descriptor only; a pipe
// holds less than a long program, so that it is read meanwhile.
func export(f *libseccomp.ScmpFilter) ([]bpf.Instruction, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	done := make(chan error, 1)
	go func() {
		done <- f.ExportBPF(w)
		w.Close()
	}()
	b, err := io.ReadAll(r)
	if err2 := <-done; err2 != nil {
		err = err2
	}
	if err != nil {
		return nil, fmt.Errorf("linux.seccomp: libseccomp's export: %w", err)
	}
	return bpf.Parse(b)
}
