package strace

import (
	"strings"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// operations is a plan that calls everything once, with descriptors that are
// not open and paths that are not there: it changes nothing but the stage.
func operations() (*plan.Plan, error) {
	b := plan.NewBuilder(3)
	b.Input(compile.InputReport, 3)
	b.Input(compile.InputSync, 4)
	b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE})
	b.Do(plan.CloseRange{First: 5})
	for _, op := range harmless() {
		b.Try(op, plan.Ignore(refusals(op)...)...)
		if _, ok := op.(plan.Setns); ok {
			b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE}) // as plan.Check wants it
		}
	}
	fd := b.Get("socket", plan.Socket{Domain: unix.AF_UNIX, Type: unix.SOCK_STREAM | unix.SOCK_CLOEXEC})
	b.Try(plan.SendFD{Socket: plan.Int(90), FD: fd, Text: "a \"text\"\n\x01"}, plan.Ignore(unix.EBADF)...)
	b.Do(plan.Dup3{Old: fd.Ref(), New: 70, Flags: unix.O_CLOEXEC})
	b.Do(plan.CloseRange{First: 3, Flags: unix.CLOSE_RANGE_CLOEXEC})
	b.Do(plan.Signal{FD: plan.Int(3), Tag: 1 << 16})
	b.Do(plan.ExitGroup{})
	return b.Build()
}

// refusals are the errors that an operation may end with here.
func refusals(op plan.Operation) []unix.Errno {
	switch op.(type) {
	case plan.Seccomp:
		return []unix.Errno{unix.EACCES, unix.EINVAL}
	case plan.Kill:
		return []unix.Errno{unix.ESRCH}
	case plan.SetMempolicy: // for which a kernel may lack NUMA
		return []unix.Errno{unix.EINVAL, unix.EPERM, unix.ENOSYS}
	}
	return []unix.Errno{unix.EBADF, unix.ENOENT, unix.EINVAL, unix.EPERM}
}

func harmless() []plan.Operation {
	closed, cwd, none := plan.Int(90), plan.AtCWD(), "/nonexistent/x"
	return append([]plan.Operation{
		plan.Fchdir{FD: closed}, plan.Chdir{Path: none}, plan.Faccessat{DirFD: cwd, Path: none}, plan.Close{FD: closed},
		plan.Faccessat{DirFD: closed, Path: "tab\tquote\" back\\slash \x01\x017 \xff é"},
		plan.Faccessat{DirFD: closed, Path: strings.Repeat("long", 1000)},
		plan.Fchown{FD: closed, UID: 5, GID: -1},
		plan.Dup3{Old: closed, New: 71, Flags: unix.O_CLOEXEC}, plan.Read{FD: plan.Int(91), Size: 16}, plan.Write{FD: closed, Data: "0 1000 1\n"},
		plan.Umask{Mask: 0o77}, plan.Umask{Mask: 0o1}, plan.Umask{},
		plan.SetInterfaceFlags{FD: closed, Name: "lo", Flags: unix.IFF_UP | unix.IFF_RUNNING},
		plan.Ioctl{FD: closed, Request: unix.TIOCSCTTY}, plan.UnlockTerminal{FD: closed}, plan.ClearONLCR{FD: closed}, plan.SetWindowSize{FD: closed, Rows: 1, Columns: 300},
		plan.Ioctl{FD: closed, Request: unix.TIOCGPTPEER, Arg: unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC},
		plan.Setns{FD: closed, Type: unix.CLONE_NEWNET}, plan.Setns{FD: closed, Type: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUSER | unix.CLONE_NEWTIME},
		plan.Prctl{Option: unix.PR_SET_DUMPABLE}, plan.BlockSignals{}, plan.UnblockSignals{}, plan.Kill{PID: plan.Int(1 << 30), Signal: int(unix.SIGCONT)}, plan.DefaultAction{Signal: int(unix.SIGHUP)}, plan.DefaultAction{Signal: 32},
		plan.DefaultAction{Signal: 64},
		plan.Clone3{Flags: unix.CLONE_INTO_CGROUP | unix.CLONE_NEWCGROUP, Cgroup: closed, ExitSignal: int(unix.SIGCHLD)},
		plan.Clone3{Flags: unix.CLONE_NEWUSER | unix.CLONE_FS, ExitSignal: int(unix.SIGCHLD), TID: 2}, // never both
		plan.Clone{Flags: unix.CLONE_NEWUSER | unix.CLONE_FS},                                         // never both
		plan.Umount2{Target: none, Flags: unix.MNT_DETACH | unix.UMOUNT_NOFOLLOW}, plan.Chroot{Path: none},
		plan.Prctl{Option: unix.PR_SET_KEEPCAPS, Arg2: 1}, plan.Prctl{Option: unix.PR_SET_PDEATHSIG, Arg2: int(unix.SIGTERM)}, plan.Prctl{Option: unix.PR_SET_PDEATHSIG},
		plan.Prctl{Option: unix.PR_CAPBSET_DROP, Arg2: unix.CAP_LAST_CAP}, plan.Prctl{Option: unix.PR_CAP_AMBIENT, Arg2: unix.PR_CAP_AMBIENT_RAISE, Arg3: unix.CAP_LAST_CAP},
		plan.Prctl{Option: unix.PR_CAP_AMBIENT, Arg2: unix.PR_CAP_AMBIENT_CLEAR_ALL}, plan.SetName{Name: "a name"},
		plan.Prlimit64{Resource: unix.RLIMIT_NOFILE, Soft: 100, Hard: 2048}, plan.Prlimit64{Resource: unix.RLIMIT_CORE, Soft: 1024, Hard: 1024},
		plan.Prlimit64{Resource: unix.RLIMIT_STACK, Soft: ^uint64(0), Hard: ^uint64(0)}, plan.Personality{Persona: 8}, plan.Personality{},
		plan.Setgroups{GIDs: []uint32{1, 1 << 31}}, plan.Setgroups{}, plan.Keyctl{},
		plan.Setsid{}, plan.Seccomp{Program: []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}, Flags: unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	}, harmlessMounts()...)
}

// harmlessMounts use every flag once.
func harmlessMounts() []plan.Operation {
	closed, cwd, none := plan.Int(90), plan.AtCWD(), "/nonexistent/x"
	const resolve = unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH
	list := []plan.Operation{
		plan.Fspick{FD: closed}, plan.Sendfile{Out: closed, In: closed, Count: 1 << 30}, plan.Fchmod{FD: closed, Mode: 0o4755},
		plan.Fsetxattr{FD: closed, Name: "user.a", Value: "b\x00c"}, plan.SetMempolicy{Mode: unix.MPOL_DEFAULT},
		plan.SetMempolicy{Mode: unix.MPOL_BIND | unix.MPOL_F_STATIC_NODES, Nodes: []uint64{1, 1 << 63}},
		plan.SchedSetaffinity{Mask: []byte{0xff, 1, 0, 0x80, 0, 0, 0, 0}}, plan.IoprioSet{Which: plan.IoprioWhoProcess, Class: 2, Priority: 3},
		plan.SchedSetattr{Policy: unix.SCHED_BATCH, Nice: 19, Flags: unix.SCHED_FLAG_RESET_ON_FORK},
		plan.SchedSetattr{Policy: unix.SCHED_DEADLINE, Runtime: 1, Deadline: 2, Period: 3},
		plan.Openat2{DirFD: closed, Path: "x", Flags: unix.O_WRONLY | unix.O_NOCTTY | unix.O_TRUNC | unix.O_APPEND | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: resolve},
		plan.Openat2{DirFD: closed, Path: "", Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT},
		plan.OpenTree{DirFD: cwd, Path: none, Flags: unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE | unix.AT_SYMLINK_NOFOLLOW | unix.AT_EMPTY_PATH | unix.AT_NO_AUTOMOUNT},
		plan.MoveMount{FromFD: closed, ToFD: cwd, ToPath: "/nonexistent", Flags: unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_F_SYMLINKS | unix.MOVE_MOUNT_T_SYMLINKS},
		plan.Fsmount{FD: closed, Attrs: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODIRATIME | unix.MOUNT_ATTR_NOSYMFOLLOW},
		plan.Fsconfig{FD: closed, Command: unix.FSCONFIG_SET_FLAG, Key: "ro"}, plan.Fsconfig{FD: closed, Command: unix.FSCONFIG_SET_STRING, Key: "size", Value: "64k"},
		plan.Fsconfig{FD: closed, Command: unix.FSCONFIG_CMD_CREATE}, plan.Fsconfig{FD: closed, Command: unix.FSCONFIG_CMD_RECONFIGURE},
		plan.PivotRoot{NewRoot: "/nonexistent", PutOld: "."},
	}
	for _, set := range []uint64{0, unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR_IDMAP | unix.MOUNT_ATTR_NOSYMFOLLOW} {
		list = append(list, plan.MountSetattr{DirFD: closed, Flags: unix.AT_EMPTY_PATH | unix.AT_RECURSIVE, Set: set, Clear: unix.MOUNT_ATTR__ATIME, Propagation: unix.MS_SHARED, UserNS: closed})
	}
	for _, kind := range []uint64{0, unix.MS_UNBINDABLE, unix.MS_PRIVATE, unix.MS_SLAVE} {
		list = append(list, plan.MountSetattr{DirFD: closed, Path: "x", Flags: unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT, Clear: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODIRATIME, Propagation: kind})
	}
	return list
}
