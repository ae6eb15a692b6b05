package spec

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// The filter is the one that containers come with everywhere: the same calls, and
// the same answers to the others, as in the profile of podman, buildah and CRI-O
// (seccomp.json of containers-common, 2025). What is not listed does not exist
// (ENOSYS), so that programs try what they did before the call was invented. The
// user's keys are left out, since those are as private as the home's. It is
// compiled and kept as that of a bundle is.

// allowed are the calls that every container may make.
const allowed = `
	_llseek _newselect accept accept4 access adjtimex alarm bind brk capget capset chdir chmod chown chown32
	clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
	clock_nanosleep_time64 clone clone3 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
	epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
	execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_init
	fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
	flistxattr flock fork fremovexattr fsconfig fsetxattr fsmount fsopen fspick fstat fstat64 fstatat64 fstatfs
	fstatfs64 fsync ftruncate ftruncate64 futex futex_time64 futimesat get_mempolicy get_robust_list
	get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32
	getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
	getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid
	getuid32 getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
	io_getevents io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule
	landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listxattr
	llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise mbind membarrier memfd_create memfd_secret
	mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mount mount_setattr move_mount mprotect
	mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
	mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep
	newfstatat open open_tree openat openat2 pause pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pivot_root
	pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
	process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2
	read readahead readlink readlinkat readv reboot recv recvfrom recvmmsg recvmmsg_time64 recvmsg
	remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
	rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
	rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
	sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
	sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64
	send sendfile sendfile64 sendmmsg sendmsg sendto set_mempolicy set_robust_list set_thread_area set_tid_address
	setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setns setpgid
	setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
	setsid setsockopt setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack signal signalfd
	signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statx symlink
	symlinkat sync sync_file_range syncfs sysinfo syslog tee tgkill time timer_create timer_delete
	timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
	timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask umount
	umount2 uname unlink unlinkat unshare utime utimensat utimensat_time64 utimes vfork wait4 waitid waitpid write
	writev
`

// refused are those that nobody may make.
const refused = `
	bdflush cachestat futex_requeue futex_wait futex_waitv futex_wake io_pgetevents io_pgetevents_time64
	kexec_file_load kexec_load map_shadow_stack migrate_pages move_pages nfsservctl nice oldfstat oldlstat
	oldolduname oldstat olduname pciconfig_iobase pciconfig_read pciconfig_write sgetmask ssetmask swapoff swapon
	syscall sysfs uselib userfaultfd ustat vm86 vm86old vmsplice
`

// privileged are calls that some capability allows, and that are refused without.
func privileged() []struct{ capability, names string } {
	return []struct{ capability, names string }{
		{"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
		{"CAP_SYS_ADMIN", "bpf lookup_dcookie perf_event_open quotactl quotactl_fd setdomainname sethostname"},
		{"CAP_BPF", "bpf"},
		{"CAP_PERFMON", "perf_event_open"},
		{"CAP_SYS_CHROOT", "chroot"},
		{"CAP_SYS_MODULE", "delete_module finit_module init_module query_module"},
		{"CAP_SYS_PACCT", "acct"},
		{"CAP_SYS_PTRACE", "kcmp process_madvise"},
		{"CAP_SYS_RAWIO", "ioperm iopl"},
		{"CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"},
		{"CAP_SYS_TTY_CONFIG", "vhangup"},
	}
}

// Filter is the seccomp profile of a container whose program has these
// capabilities, on a machine of Go's name arch: that of `run --rootfs`.
func Filter(arch string, capabilities []string) *specs.LinuxSeccomp {
	enosys := uint(unix.ENOSYS)
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &enosys}
	names := strings.Fields(allowed)
	switch arch {
	case "amd64":
		s.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}
		names = append(names, "arch_prctl", "modify_ldt")
	case "arm64":
		s.Architectures = []specs.Arch{specs.ArchAARCH64, specs.ArchARM}
		names = append(names, "arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls", "sync_file_range2")
	case "riscv64":
		s.Architectures = []specs.Arch{specs.ArchRISCV64}
		names = append(names, "riscv_flush_icache", "riscv_hwprobe")
	}
	var granted, denied []string
	for _, p := range privileged() {
		if slices.Contains(capabilities, p.capability) {
			granted = append(granted, strings.Fields(p.names)...)
		}
	}
	for _, p := range privileged() {
		for _, name := range strings.Fields(p.names) {
			if !slices.Contains(granted, name) && !slices.Contains(denied, name) {
				denied = append(denied, name)
			}
		}
	}
	names = append(names, granted...)
	no := append(strings.Fields(refused), denied...)
	s.Syscalls = append([]specs.LinuxSyscall{refuse(unix.EPERM, no), {Names: names, Action: specs.ActAllow}}, sockets(capabilities)...)
	// The personalities that change nothing for others: Linux, Linux 32, both with
	// a uname of 2.6, and the question which it is.
	for _, persona := range []uint64{0, 8, 0x20000, 0x20008, 0xffffffff} {
		s.Syscalls = append(s.Syscalls, allow("personality", equal(0, persona)))
	}
	// Of keyctl(2), which podman's containers have whole, only what runtimes use: joining a
	// session keyring. The user's keys are known by number in all namespaces, and whoever
	// tries all numbers finds them, links their keyring to a session of its own, and reads them.
	s.Syscalls = append(s.Syscalls, allow("keyctl", equal(0, unix.KEYCTL_JOIN_SESSION_KEYRING)))
	return s
}

// sockets allows all families but those of the hypervisor (AF_VSOCK) and of the
// kernel's cryptography (AF_ALG), and without the capability to write to the audit
// log not the socket that leads there.
func sockets(capabilities []string) []specs.LinuxSyscall {
	const netlinkAudit = 9
	var list []specs.LinuxSyscall
	for family := range uint64(unix.AF_MAX) { // a rule may compare an argument once
		switch {
		case family == unix.AF_VSOCK || family == unix.AF_ALG:
			list = append(list, refuse(unix.EPERM, []string{"socket"}, equal(0, family)))
		case family == unix.AF_NETLINK && !slices.Contains(capabilities, "CAP_AUDIT_WRITE"):
			list = append(list, refuse(unix.EINVAL, []string{"socket"}, equal(0, family), equal(2, netlinkAudit)),
				allow("socket", equal(0, family), specs.LinuxSeccompArg{Index: 2, Value: netlinkAudit, Op: specs.OpNotEqual}))
		default:
			list = append(list, allow("socket", equal(0, family)))
		}
	}
	return list
}

func refuse(errno unix.Errno, names []string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	number := uint(errno)
	return specs.LinuxSyscall{Names: names, Action: specs.ActErrno, ErrnoRet: &number, Args: args}
}

func allow(name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow, Args: args}
}

func equal(index uint, value uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Value: value, Op: specs.OpEqualTo}
}
