package compile

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/rootfs"
	"github.com/homerun-oci/homerun/userns"
	"golang.org/x/sys/unix"
)

// StepError is an operation of a plan that failed, in the words of config.json.
type StepError struct {
	// What is what the step is a part of, Pointer where config.json asks for
	// it, and Why the reason with the errno's text at its end.
	What, Pointer, Why string
	// Index counts from 1 to Total; Text is the call.
	Index, Total int
	Text         string
	// Errno is 0 when the call returned something unexpected.
	Errno unix.Errno
	// Hint is advice, or empty.
	Hint string
}

// Error is the first line: complete by itself, errno last.
func (e *StepError) Error() string {
	where := ""
	if e.Pointer != "" && e.Pointer != "default" {
		where = " (" + e.Pointer + ")"
	}
	return e.What + where + ": " + e.Why
}

// Step is the second line.
func (e *StepError) Step() string {
	return fmt.Sprintf("step %d of %d: %s", e.Index, e.Total, e.Text)
}

// Unwrap gives the errno.
func (e *StepError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// maxWords bounds each part of a message: two paths fit in most.
const maxWords = 1000

// Explain turns the failure of step index into words. result is what the call
// returned: an errno below 0, or a number that was not the wanted one. The words
// are fit to be shown, whatever paths and names they hold: package plain.
func Explain(p *plan.Plan, facts *host.Facts, index, result int) *StepError {
	e := explain(p, facts, index, result)
	e.What, e.Why = plain.Short(e.What, maxWords), plain.Short(e.Why, maxWords)
	return e
}

func explain(p *plan.Plan, facts *host.Facts, index, result int) *StepError {
	step := p.Step(index)
	e := &StepError{What: step.What, Pointer: step.Pointer, Index: index + 1, Total: p.Len(), Text: p.Text(index)}
	if result < 0 {
		e.Errno = unix.Errno(-result)
		e.Why = errnoWords(e.Errno)
		explainKinds(e, p, index, facts)
	}
	return e.explain(step, facts, result)
}

// errnoWords is an errno as a reason.
func errnoWords(errno unix.Errno) string {
	return fmt.Sprintf("%s (%s)", errno.Error(), plan.ErrnoName(errno))
}

// explain adds what is known of the step. Where it failed with an errno, that and its
// words are there.
func (e *StepError) explain(step plan.Step, facts *host.Facts, result int) *StepError {
	if e.What == "" {
		e.What, _, _ = strings.Cut(e.Text, "(")
	}
	if result >= 0 {
		e.Why = unexpected(step, result)
		explainDirectory(e, step.Op)
		return e
	}
	if explainMissing(e, step.Op) {
		return e
	}
	for _, refine := range []func(*StepError, plan.Operation, *host.Facts) bool{
		explainExec, explainUserNamespace, explainMount, explainFile, explainCredentials, explainLabel,
	} {
		if refine(e, step.Op, facts) {
			break
		}
	}
	return e
}

// explainMissing names the directive of a systemd unit that has a call answered as
// if the kernel lacked it: systemd.exec(5). A path in the rootfs cannot be opened
// safely without openat2.
func explainMissing(e *StepError, op plan.Operation) bool {
	if _, ok := op.(plan.Openat2); !ok || e.Errno != unix.ENOSYS {
		return false
	}
	e.because("a seccomp filter forbids openat2, as RestrictSUIDSGID=yes of a systemd unit does, or the kernel is older than 5.6")
	e.Hint = "leave RestrictSUIDSGID= out, and DynamicUser=, which sets it; NoNewPrivileges=yes makes setuid programs harmless too"
	return true
}

func unexpected(step plan.Step, result int) string {
	if step.Awaits != "" && result == 0 {
		return "the runtime went away while init waited for " + step.Awaits
	}
	return fmt.Sprintf("the call returned %d", result)
}

// explainDirectory words the execution of a directory as the kernel would, if
// it told it from a file without execute permission.
func explainDirectory(e *StepError, op plan.Operation) {
	if o, ok := op.(plan.Faccessat); ok && strings.HasSuffix(o.Path, "/.") {
		e.Errno = unix.EACCES
		e.What = fmt.Sprintf("exec %q", strings.TrimPrefix(e.What, "exec "))
		e.Why = unix.EACCES.Error() + ": " + unix.EISDIR.Error()
	}
}

// explainExec words the errors of the program's start as callers match them.
func explainExec(e *StepError, op plan.Operation, _ *host.Facts) bool {
	name := strings.TrimPrefix(e.What, "exec ")
	switch op.(type) {
	case plan.Faccessat:
		if e.Errno == unix.ENOENT || e.Errno == unix.ENOTDIR {
			e.What = fmt.Sprintf("executable file %q not found in $PATH", name)
			e.Errno, e.Why = unix.ENOENT, unix.ENOENT.Error()
		}
		if e.Errno == unix.EACCES {
			e.What = fmt.Sprintf("exec %q", name)
			e.Hint = execHint(e.Errno)
		}
	case plan.Execve:
		e.What = fmt.Sprintf("exec %q", name)
		e.Hint = execHint(e.Errno)
		if e.Errno == unix.ENOENT {
			e.because("the file is there, but not the interpreter that its first line or its ELF header names")
		}
	default:
		return false
	}
	return true
}

// because puts a reason before the errno's text. What an engine shows is the
// first line only, so what explains goes there, and what helps is a hint.
func (e *StepError) because(reason string) { e.Why = reason + ": " + e.Why }

func execHint(errno unix.Errno) string {
	switch errno {
	case unix.EACCES:
		return "it has no execute permission for this user, or lies on a mount with noexec"
	case unix.ENOEXEC:
		return "it is neither a program for this machine nor a script that begins with #!"
	}
	return ""
}

// explainUserNamespace finds who forbids user namespaces.
func explainUserNamespace(e *StepError, op plan.Operation, facts *host.Facts) bool {
	user := false
	switch o := op.(type) {
	case plan.Clone3:
		if explainProcesses(e, facts) {
			return true
		}
		user = o.Flags&unix.CLONE_NEWUSER != 0
	case plan.Clone:
		if explainProcesses(e, facts) {
			return true
		}
		if e.Errno == unix.EPERM && facts.Kernel.UserNamespaces {
			e.because("a seccomp filter forbids one of these namespaces, as RestrictNamespaces= of a systemd unit or an outer container's profile does")
			return true
		}
		user = o.Flags&unix.CLONE_NEWUSER != 0
	case plan.Unshare:
		user = o.Flags&unix.CLONE_NEWUSER != 0
	}
	if !user {
		return false
	}
	if err, ok := userns.Unavailable(plan.ErrnoName(e.Errno), &facts.Kernel, "homerun").(*userns.Error); ok {
		e.Why, e.Hint = err.Text, err.Hint
	}
	return true
}

// explainProcesses tells who allows no more processes.
func explainProcesses(e *StepError, facts *host.Facts) bool {
	if e.Errno != unix.EAGAIN {
		return false
	}
	e.because(cmp.Or(facts.Process.ProcessLimit, "the user's RLIMIT_NPROC or pids.max of the cgroup") + " allows no more processes")
	return true
}

func explainMount(e *StepError, op plan.Operation, facts *host.Facts) bool {
	switch o := op.(type) {
	case plan.Fsconfig:
		explainFsconfig(e, o, facts)
	case plan.Fsmount:
		explainFsmount(e)
	case plan.Fsopen:
		if e.Errno == unix.ENODEV {
			e.Why = fmt.Sprintf("unknown file system %q: %s", o.Type, e.Why)
		}
		explainForbidden(e, facts)
	case plan.MountSetattr:
		if e.Errno == unix.EPERM {
			explainLocked(e, o)
		}
	case plan.OpenTree:
		if e.Errno == unix.EINVAL {
			e.because("a mount with others below it can be bound in a user namespace only with all of them")
			e.Hint = "use rbind"
		}
	default:
		return false
	}
	return true
}

// explainKinds words the refusal to mount a directory on a file or the reverse,
// for which the kernel says no more than EINVAL: do_move_mount() in
// fs/namespace.c. Callers match the words, as other runtimes have them.
func explainKinds(e *StepError, p *plan.Plan, index int, facts *host.Facts) {
	o, ok := p.Step(index).Op.(plan.MoveMount)
	if !ok || o.ToFD.Slot == 0 || e.Errno != unix.ENOTDIR && e.Errno != unix.EINVAL {
		return
	}
	why := "one of source and destination is a directory, the other is not"
	switch mountedKind(p, index, o.FromFD.Slot, facts) {
	case host.Missing:
	case host.Directory:
		why = "a directory is to be mounted, but the destination is not one"
	default:
		why = "a file is to be mounted, but the destination is a directory"
	}
	e.Errno = unix.ENOTDIR
	e.Why = fmt.Sprintf("%s: %s (ENOTDIR)", why, unix.ENOTDIR.Error())
}

// mountedKind is what the mount in a slot shows; empty when it is not known.
func mountedKind(p *plan.Plan, before int, slot plan.Slot, facts *host.Facts) host.Kind {
	for i := before - 1; i >= 0; i-- {
		if p.Step(i).Result != slot {
			continue
		}
		switch o := p.Step(i).Op.(type) {
		case plan.Fsmount:
			return host.Directory
		case plan.OpenTree:
			return facts.Sources[o.Path].Kind
		}
		break
	}
	return host.Missing
}

// explainFsmount tells why procfs or sysfs is refused: mount_too_revealing() in
// fs/namespace.c.
func explainFsmount(e *StepError) {
	if e.Errno == unix.EPERM {
		e.because("parts of the outer one are covered, as inside another container, or its access time options differ")
		e.Hint = "in a user namespace procfs and sysfs can be mounted only where the outer one is fully visible, and with its " +
			"access time options"
	}
}

// explainLocked names the flags that a mount of the host would have to lose: in
// a user namespace they are locked, mount_namespaces(7).
func explainLocked(e *StepError, o plan.MountSetattr) {
	names := rootfs.Locked(o)
	if names == "" {
		e.Hint = "on the host this mount has flags that a user namespace cannot clear or change"
		return
	}
	e.Pointer += ".options"
	e.Why = "locked by the host's mount: " + names + ": " + e.Why
	e.Hint = "a user namespace cannot clear flags that a mount has outside, nor change its access times: leave out the option, or change the mount on the host"
}

func explainFsconfig(e *StepError, o plan.Fsconfig, facts *host.Facts) {
	switch {
	case o.Command != unix.FSCONFIG_CMD_CREATE && e.Errno == unix.EINVAL:
		option := o.Key
		if o.Value != "" {
			option += "=" + o.Value
		}
		e.Pointer += ".options"
		e.Why = fmt.Sprintf("unknown mount option, or a bad value: %q: %s", option, e.Why)
	case e.Errno == unix.EPERM && strings.HasPrefix(e.What, "mount proc"):
		explainFsmount(e)
	case e.Errno == unix.EPERM && strings.HasPrefix(e.What, "mount sysfs"):
		e.because("sysfs needs a network namespace that belongs to the container's user namespace")
		e.Hint = "with the option ro, /sys of the host is bound instead"
	default:
		explainForbidden(e, facts)
	}
}

// explainForbidden tells that only root outside of user namespaces mounts most
// file systems: FS_USERNS_MOUNT in fs/super.c.
func explainForbidden(e *StepError, facts *host.Facts) {
	if e.Errno == unix.EPERM && (facts.Process.UID != 0 || !facts.UserNamespace.Initial) {
		e.because("this file system cannot be mounted in a user namespace")
	}
}

func explainFile(e *StepError, op plan.Operation, _ *host.Facts) bool {
	switch o := op.(type) {
	case plan.Sendfile:
		e.Why = "a file changed while it was copied: " + e.Why
	case plan.Mkdirat, plan.Mknodat, plan.Symlinkat:
		if e.Errno == unix.EROFS {
			e.Why = "the mount point is missing and cannot be made in a read-only file system: " + e.Why
		}
		if e.Errno == unix.EACCES || e.Errno == unix.EPERM || e.Errno == unix.EOVERFLOW {
			e.Hint = "the rootfs must be writable by the container's root, or have all mount points"
		}
	case plan.Openat2:
		if e.Errno == unix.ENOTDIR && o.Resolve&unix.RESOLVE_IN_ROOT != 0 {
			e.Why = fmt.Sprintf("a file is in the way of /%s: %s", o.Path, e.Why)
		}
		if e.Errno == unix.EACCES {
			e.Hint = "the container's root cannot pass a directory on the way: check owners and permissions against the id maps"
		}
		if e.Errno == unix.ELOOP && o.Resolve&unix.RESOLVE_NO_SYMLINKS != 0 {
			e.because("in the rootfs this must be a directory, not a symbolic link")
		} else if e.Errno == unix.ELOOP || e.Errno == unix.EXDEV {
			e.because("a symbolic link in the rootfs leads nowhere inside it")
		}
	default:
		return false
	}
	return true
}

func explainCredentials(e *StepError, op plan.Operation, facts *host.Facts) bool {
	switch o := op.(type) {
	case plan.Prlimit64:
		if e.Errno == unix.EPERM {
			name, _ := strings.CutPrefix(e.What, "set the limit ")
			if hard, ok := facts.Process.Rlimits[name]; ok {
				e.because(fmt.Sprintf("without CAP_SYS_RESOURCE on the host the hard limit cannot be raised above %d (asked: %d)", hard, o.Hard))
			}
		}
	case plan.SchedSetattr, plan.IoprioSet:
		if e.Errno == unix.EPERM {
			e.Hint = "a better priority than the caller's needs CAP_SYS_NICE on the host, or a limit of the caller's that allows it (RLIMIT_NICE, RLIMIT_RTPRIO)"
		}
	case plan.Capset:
		if e.Errno == unix.EPERM {
			e.Hint = "effective capabilities must be permitted too, and none can be had beyond homerun's own; " +
				"with noNewPrivileges false a seccomp profile must allow capset"
		}
	case plan.Setns:
		if e.Errno == unix.EPERM && e.Pointer == "default" {
			e.Hint = "before it is started, a container that shares namespaces with others can be entered only with CAP_SYS_PTRACE on the host"
		}
	case plan.Setgroups, plan.Setresgid, plan.Setresuid:
		if e.Errno == unix.EPERM {
			e.because("the user namespace, which somebody else made, allows no supplementary groups")
		}
		if e.Errno == unix.EINVAL {
			e.because("an id is not mapped in the container's user namespace")
		}
	case plan.Chdir:
		if e.Errno == unix.EACCES {
			e.Hint = "the container's root cannot enter it: check owners and permissions against the id maps"
		}
	default:
		return false
	}
	return true
}
