package compile

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/rootfs"
	"github.com/homerun-oci/homerun/userns"
	"golang.org/x/sys/unix"
)

// maxWords bounds each part of a message: two paths fit in most.
const maxWords = 1000

// explanation is the failure of a step while it is put into words.
type explanation struct {
	*fault.Error
	step plan.Step
	// call is the step's text.
	call string
}

// explain begins an explanation; index counts from 1 to total. result is what the call
// returned: an errno below 0, or a number that was not the wanted one.
func explain(step plan.Step, call string, index, total, result int) *explanation {
	e := &explanation{&fault.Error{What: step.What, Place: step.Pointer, Step: fmt.Sprintf("step %d of %d: %s", index, total, call)}, step, call}
	if e.Place == "default" {
		e.Place = ""
	}
	if result < 0 {
		e.Errno = unix.Errno(-result)
		e.Why = fmt.Sprintf("%s (%s)", e.Errno.Error(), plan.ErrnoName(e.Errno))
	}
	return e
}

// Explain turns the failure of step index into words: what it is a part of, where
// config.json asks for it, and why it failed, the errno's text last; the step and a
// hint. result is what the call returned: an errno below 0, or a number that was not
// the wanted one; then there is no errno. The words are fit to be shown, whatever
// paths and names they hold: package plain.
func Explain(p *plan.Plan, facts *host.Facts, index, result int) *fault.Error {
	e := explain(p.Step(index), p.Text(index), index+1, p.Len(), result)
	explainKinds(e, p, index, facts)
	return e.refine(facts, result)
}

// refine adds what is known of the step.
func (e *explanation) refine(facts *host.Facts, result int) *fault.Error {
	if e.What == "" {
		e.What, _, _ = strings.Cut(e.call, "(")
	}
	switch {
	case result >= 0:
		e.Why = unexpected(e.step, result)
		explainDirectory(e)
	case e.step.Purpose == plan.ForHook:
		explainHook(e)
	case !explainMissing(e, e.step.Op):
		for _, known := range []func(*explanation, plan.Operation, *host.Facts) bool{
			explainLabel, explainExec, explainUserNamespace, explainMount, explainFile, explainCredentials,
		} {
			if known(e, e.step.Op, facts) {
				break
			}
		}
	}
	e.What, e.Why = plain.Short(e.What, maxWords), plain.Short(e.Why, maxWords)
	return e.Error
}

// explainHook says why a hook did not start, in the errno's words; which one it is is
// said elsewhere.
func explainHook(e *explanation) {
	e.Place, e.Why = "", e.Errno.Error()
	if _, ok := e.step.Op.(plan.Execve); ok {
		e.What, e.Hint = "", execHint(e.Errno)
	}
}

// explainMissing names the directive of a systemd unit that has a call answered as
// if the kernel lacked it: systemd.exec(5). A path in the rootfs cannot be opened
// safely without openat2.
func explainMissing(e *explanation, op plan.Operation) bool {
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
func explainDirectory(e *explanation) {
	if o, ok := e.step.Op.(plan.Faccessat); ok && strings.HasSuffix(o.Path, "/.") {
		e.Errno = unix.EACCES
		e.What = fmt.Sprintf("exec %q", e.step.Subject)
		e.Why = unix.EACCES.Error() + ": " + unix.EISDIR.Error()
	}
}

// explainExec words the errors of the program's start as callers match them.
func explainExec(e *explanation, op plan.Operation, _ *host.Facts) bool {
	name := e.step.Subject
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
func (e *explanation) because(reason string) { e.Why = reason + ": " + e.Why }

func execHint(errno unix.Errno) string {
	switch errno {
	case unix.EACCES:
		return "it has no execute permission for this user, lies on a mount with noexec, or a security module forbids it"
	case unix.EPERM:
		return "a security module forbids it, as SELinux does where a label may not be taken with process.noNewPrivileges"
	case unix.ENOEXEC:
		return "it is neither a program for this machine nor a script that begins with #!"
	}
	return ""
}

// explainUserNamespace finds who forbids user namespaces.
func explainUserNamespace(e *explanation, op plan.Operation, facts *host.Facts) bool {
	var flags uint64
	switch o := op.(type) {
	case plan.Clone3:
		if explainProcesses(e, facts) {
			return true
		}
		flags = o.Flags
	case plan.Clone:
		if explainProcesses(e, facts) || explainForbiddenNamespace(e, facts) {
			return true
		}
		flags = o.Flags
	case plan.Unshare:
		flags = uint64(o.Flags)
		if flags&unix.CLONE_NEWUSER == 0 && explainForbiddenNamespace(e, facts) {
			return true
		}
	}
	if flags&unix.CLONE_NEWUSER == 0 {
		return explainNamespaceLimit(e, flags)
	}
	err := userns.Unavailable(plan.ErrnoName(e.Errno), &facts.Kernel, "homerun")
	e.Why, e.Hint = err.Error(), err.Hint
	return true
}

// explainForbiddenNamespace says who forbids a namespace where those of users work.
func explainForbiddenNamespace(e *explanation, facts *host.Facts) bool {
	if e.Errno != unix.EPERM || !facts.Kernel.UserNamespaces {
		return false
	}
	e.because("a seccomp filter forbids one of these namespaces, as RestrictNamespaces= of a systemd unit or an outer container's profile does")
	return true
}

// explainNamespaceLimit says that there may be no more of a namespace, other than those of users.
func explainNamespaceLimit(e *explanation, flags uint64) bool {
	const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP
	if e.Errno != unix.ENOSPC || flags&namespaces == 0 {
		return false
	}
	e.because("the user may have no more of one of these namespaces: a limit below /proc/sys/user, as user.max_net_namespaces, see namespaces(7)")
	e.Hint = userns.HintLimits
	return true
}

// explainProcesses says who allows no more processes.
func explainProcesses(e *explanation, facts *host.Facts) bool {
	if e.Errno != unix.EAGAIN {
		return false
	}
	e.because(cmp.Or(facts.Process.ProcessLimit, "the user's RLIMIT_NPROC or pids.max of the cgroup") + " allows no more processes")
	return true
}

func explainMount(e *explanation, op plan.Operation, facts *host.Facts) bool {
	if e.Place == "root.path" && e.mounts("overlay") && explainOverlay(e, op) {
		return true
	}
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

// explainOverlay says why a root cannot have an overlay.
func explainOverlay(e *explanation, op plan.Operation) bool {
	_, opens := op.(plan.Fsopen)
	_, sets := op.(plan.Fsconfig)
	switch {
	case opens && e.Errno == unix.ENODEV:
		e.because("the kernel has no overlayfs, or has not loaded it")
		e.Hint = "as root: modprobe overlay"
	case (opens || sets) && e.Errno == unix.EPERM:
		e.because("a user namespace may not mount an overlay here: that needs Linux 5.11, and no security module that forbids it")
	case sets && e.Errno == unix.EINVAL:
		e.because("the kernel lays no overlay over this: something is mounted below, or the file system is none for that, or the changes cannot be kept there")
		e.Hint = "changes are best kept in memory, or on ext4, xfs or btrfs; not on another overlay, NFS or FUSE"
	default:
		return false
	}
	return true
}

// explainKinds words the refusal to mount a directory on a file or the reverse,
// for which the kernel says no more than EINVAL: do_move_mount() in
// fs/namespace.c. Callers match the words, as other runtimes have them.
func explainKinds(e *explanation, p *plan.Plan, index int, facts *host.Facts) {
	o, ok := p.Step(index).Op.(plan.MoveMount)
	if !ok || o.ToFD.Slot == 0 || e.Errno != unix.ENOTDIR && e.Errno != unix.EINVAL {
		return
	}
	why := "source and destination are not of the same kind"
	switch mountedKind(p, index, o.FromFD.Slot, facts) {
	case host.Missing:
	case host.Directory:
		why = "a directory is to be mounted, but the destination is not one"
	default:
		// Not "is a directory": docker takes that for EISDIR, ends with 126, and leaves out its own hint.
		why = "a file is to be mounted, but a directory is there"
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

// explainFsmount says why procfs or sysfs is refused: mount_too_revealing() in
// fs/namespace.c.
func explainFsmount(e *explanation) {
	if e.Errno == unix.EPERM {
		e.because("parts of the outer one are covered, as inside another container, or its access time options differ")
		e.Hint = "in a user namespace procfs and sysfs can be mounted only where the outer one is fully visible, and with its " +
			"access time options"
	}
}

// explainLocked names the flags that a mount of the host would have to lose: in
// a user namespace they are locked, mount_namespaces(7).
func explainLocked(e *explanation, o plan.MountSetattr) {
	names := rootfs.Locked(o)
	if names == "" {
		e.Hint = "on the host this mount has flags that a user namespace cannot clear or change"
		return
	}
	e.Place += ".options"
	e.Why = "locked by the host's mount: " + names + ": " + e.Why
	e.Hint = "a user namespace cannot clear flags that a mount has outside, nor change its access times: leave out the option, or change the mount on the host"
}

func explainFsconfig(e *explanation, o plan.Fsconfig, facts *host.Facts) {
	switch {
	case o.Command != unix.FSCONFIG_CMD_CREATE && e.Errno == unix.EINVAL:
		option := o.Key
		if o.Value != "" {
			option += "=" + o.Value
		}
		e.Place += ".options"
		e.Why = fmt.Sprintf("unknown mount option, or a bad value: %q: %s", option, e.Why)
	case e.Errno == unix.EACCES && facts.LSM.SELinux == host.Yes:
		e.Hint = "SELinux refuses it, as any label (linux.mountLabel) in a user namespace but for tmpfs, devpts and overlay; " +
			"`ausearch -m avc` shows what the policy denies"
	case e.Errno == unix.EPERM && e.mounts("proc"):
		e.because("procfs needs a PID namespace that belongs to the container's user namespace")
		e.Hint = "who joins the pid namespace of a container has to join its user namespace, too"
	case e.Errno == unix.EPERM && e.mounts("mqueue"):
		e.because("message queues need an IPC namespace that belongs to the container's user namespace")
		e.Hint = "who joins the ipc namespace of a container has to join its user namespace, too"
	case e.Errno == unix.EPERM && e.mounts("sysfs"):
		e.because("sysfs needs a network namespace that belongs to the container's user namespace")
		e.Hint = "with the option ro, /sys of the host is bound instead"
	default:
		explainForbidden(e, facts)
	}
}

// mounts reports whether the step is a part of mounting that type.
func (e *explanation) mounts(kind string) bool {
	return e.step.Purpose == plan.ForMount && e.step.Subject == kind
}

// explainForbidden says that only root outside of user namespaces mounts most file
// systems: FS_USERNS_MOUNT in fs/super.c.
func explainForbidden(e *explanation, facts *host.Facts) {
	if e.Errno == unix.EPERM && (facts.Process.UID != 0 || !facts.UserNamespace.Initial) {
		e.because("this file system cannot be mounted in a user namespace")
	}
}

func explainFile(e *explanation, op plan.Operation, _ *host.Facts) bool {
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

func explainCredentials(e *explanation, op plan.Operation, facts *host.Facts) bool {
	switch o := op.(type) {
	case plan.Prlimit64:
		if e.Errno == unix.EPERM {
			if hard, ok := facts.Process.Rlimits[e.step.Subject]; ok {
				asked := strconv.FormatUint(o.Hard, 10)
				if o.Hard == math.MaxUint64 {
					asked = "unlimited"
				}
				why := fmt.Sprintf("without CAP_SYS_RESOURCE on the host the hard limit cannot be raised above %d (asked: %s)", hard, asked)
				if facts.UserNamespace.Initial && facts.Process.Capabilities&(1<<unix.CAP_SYS_RESOURCE) != 0 {
					why += ", and with it that on open files not above fs.nr_open"
				}
				e.because(why)
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
		if e.Errno == unix.EPERM && e.step.Purpose == plan.ForJoin {
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
