package plan

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// message is a struct msghdr for one block of data and one control message.
type message struct {
	text    string
	control any
}

// filter is a struct sock_fprog.
type filter struct{ program []byte }

func processRows(s slots) []row {
	file := s.file.Ref()
	const all = ^uint64(0)
	return []row{
		{Unshare{unix.CLONE_NEWTIME}, `unshare(CLONE_NEWTIME)`, unix.SYS_UNSHARE, []any{unix.CLONE_NEWTIME}},
		{Setns{file, unix.CLONE_NEWNET}, `setns($file, CLONE_NEWNET)`, unix.SYS_SETNS, []any{cell(fileFD), unix.CLONE_NEWNET}},
		{Sethostname{"web"}, `sethostname("web", 3)`, unix.SYS_SETHOSTNAME, []any{"web", 3}},
		{Setdomainname{"lan"}, `setdomainname("lan", 3)`, unix.SYS_SETDOMAINNAME, []any{"lan", 3}},
		{Setsid{}, `setsid()`, unix.SYS_SETSID, nil},
		{Setgroups{}, `setgroups(0, NULL)`, unix.SYS_SETGROUPS, []any{0, nil}},
		{Setgroups{[]uint32{5, 1 << 31}}, `setgroups(2, [5, 2147483648])`, unix.SYS_SETGROUPS, []any{2, [2]uint32{5, 1 << 31}}},
		{Setresgid{100}, `setresgid(100, 100, 100)`, unix.SYS_SETRESGID, []any{100, 100, 100}},
		{Setresuid{1 << 31}, `setresuid(2147483648, 2147483648, 2147483648)`, unix.SYS_SETRESUID,
			[]any{-1 << 31, -1 << 31, -1 << 31}},
		{Capset{Effective: 1<<unix.CAP_KILL | 1<<unix.CAP_BPF, Permitted: all >> 63},
			`capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=1<<CAP_KILL|1<<CAP_BPF, permitted=1<<CAP_CHOWN, inheritable=0})`,
			unix.SYS_CAPSET, []any{unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3},
				[2]unix.CapUserData{{Effective: 1 << unix.CAP_KILL, Permitted: 1}, {Effective: 1 << (unix.CAP_BPF - 32)}}}},
		{Capset{Inheritable: 1 << 63}, `capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=0, permitted=0, inheritable=1<<63})`,
			unix.SYS_CAPSET, []any{unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{{}, {Inheritable: 1 << 31}}}},
		{Prctl{Option: unix.PR_SET_DUMPABLE}, `prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE)`, unix.SYS_PRCTL, []any{unix.PR_SET_DUMPABLE, 0}},
		{Prctl{Option: unix.PR_SET_KEEPCAPS, Arg2: 1}, `prctl(PR_SET_KEEPCAPS, 1)`, unix.SYS_PRCTL, []any{unix.PR_SET_KEEPCAPS, 1}},
		{Prctl{Option: unix.PR_CAPBSET_DROP, Arg2: 12}, `prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN)`, unix.SYS_PRCTL, []any{unix.PR_CAPBSET_DROP, 12}},
		{Prctl{Option: unix.PR_CAP_AMBIENT, Arg2: unix.PR_CAP_AMBIENT_RAISE, Arg3: 5},
			`prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0)`, unix.SYS_PRCTL,
			[]any{unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, 5, 0, 0}},
		{Prctl{Option: unix.PR_CAP_AMBIENT, Arg2: unix.PR_CAP_AMBIENT_CLEAR_ALL},
			`prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)`, unix.SYS_PRCTL,
			[]any{unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0}},
		{Prctl{Option: unix.PR_SET_NO_NEW_PRIVS, Arg2: 1}, `prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)`, unix.SYS_PRCTL,
			[]any{unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0}},
		{Prctl{Option: unix.PR_SET_PDEATHSIG, Arg2: 9}, `prctl(PR_SET_PDEATHSIG, SIGKILL)`, unix.SYS_PRCTL, []any{unix.PR_SET_PDEATHSIG, 9}},
		{Prctl{Option: unix.PR_SET_TIMERSLACK, Arg2: 70000}, `prctl(PR_SET_TIMERSLACK, 70000)`, unix.SYS_PRCTL, []any{unix.PR_SET_TIMERSLACK, 70000}},
		{SetName{"homerun:init"}, `prctl(PR_SET_NAME, "homerun:init")`, unix.SYS_PRCTL, []any{unix.PR_SET_NAME, "homerun:init"}},
		{UnblockSignals{}, `rt_sigprocmask(SIG_SETMASK, [], NULL, 8)`, unix.SYS_RT_SIGPROCMASK, []any{2, uint64(0), nil, 8}},
		{BlockSignals{}, `rt_sigprocmask(SIG_SETMASK, ~[], NULL, 8)`, unix.SYS_RT_SIGPROCMASK, []any{2, all, nil, 8}},
		{AwaitSignal{18}, `rt_sigtimedwait([CONT TSTP TTIN TTOU], NULL, NULL, 8)`, unix.SYS_RT_SIGTIMEDWAIT, []any{uint64(1<<17 | 1<<19 | 1<<20 | 1<<21), nil, nil, 8}},
		{AwaitSignal{10}, `rt_sigtimedwait([USR1], NULL, NULL, 8)`, unix.SYS_RT_SIGTIMEDWAIT, []any{uint64(1 << 9), nil, nil, 8}},
		{Kill{file, 18}, `kill($file, SIGCONT)`, unix.SYS_KILL, []any{cell(fileFD), 18}},
		{Reap{file}, `reap($file, 0x480000, 16777216)`, ReapNumber, []any{cell(fileFD), 0x480000, 16 << 20}},
		{DefaultAction{1}, `rt_sigaction(SIGHUP, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, NULL, 8)`, unix.SYS_RT_SIGACTION,
			[]any{1, [4]uint64{}, nil, 8}},
		{DefaultAction{32}, `rt_sigaction(SIGRTMIN, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, NULL, 8)`, unix.SYS_RT_SIGACTION,
			[]any{32, [4]uint64{}, nil, 8}},
		{DefaultAction{34}, `rt_sigaction(SIGRT_2, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, NULL, 8)`, unix.SYS_RT_SIGACTION,
			[]any{34, [4]uint64{}, nil, 8}},
		{Prlimit64{unix.RLIMIT_NOFILE, 1024, 4096}, `prlimit64(0, RLIMIT_NOFILE, {rlim_cur=1024, rlim_max=4*1024}, NULL)`,
			unix.SYS_PRLIMIT64, []any{0, unix.RLIMIT_NOFILE, unix.Rlimit{Cur: 1024, Max: 4096}, nil}},
		{Prlimit64{unix.RLIMIT_CORE, 0, all}, `prlimit64(0, RLIMIT_CORE, {rlim_cur=0, rlim_max=RLIM64_INFINITY}, NULL)`,
			unix.SYS_PRLIMIT64, []any{0, unix.RLIMIT_CORE, unix.Rlimit{Max: all}, nil}},
		{Personality{8}, `personality(PER_LINUX32)`, unix.SYS_PERSONALITY, []any{8}},
		{Keyctl{}, `keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)`, unix.SYS_KEYCTL, []any{unix.KEYCTL_JOIN_SESSION_KEYRING, nil}},
		{Seccomp{[]byte("12345678abcdefgh"), unix.SECCOMP_FILTER_FLAG_LOG},
			`seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, {len=2, filter})`, unix.SYS_SECCOMP,
			[]any{unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_LOG, filter{[]byte("12345678abcdefgh")}}},
		{Execve{"/bin/sh", []string{"sh", "-c", ""}, []string{"HOME=/"}}, `execve("/bin/sh", ["sh", "-c", ""], ["HOME=/"])`,
			unix.SYS_EXECVE, []any{"/bin/sh", []string{"sh", "-c", ""}, []string{"HOME=/"}}},
		{Execve{"/bin/sh", []string{"sh"}, nil}, `execve("/bin/sh", ["sh"], [])`,
			unix.SYS_EXECVE, []any{"/bin/sh", []string{"sh"}, []string{}}},
		{ExitGroup{7}, `exit_group(7)`, unix.SYS_EXIT_GROUP, []any{7}},
	}
}

// modes is struct termios of asm-generic/termbits.h.
type modes struct {
	Input, Output, Control, Local uint32
	Line                          uint8
	Characters                    [19]byte
}

// TestClearONLCR: but for ONLCR the modes are those that this kernel gives a
// new terminal.
func TestClearONLCR(t *testing.T) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(master)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	pty, err := unix.IoctlRetInt(master, unix.TIOCGPTPEER)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pty)
	n, err := unix.IoctlGetTermios(pty, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	want, err := binary.Append(nil, binary.LittleEndian,
		modes{n.Iflag, n.Oflag &^ unix.ONLCR, n.Cflag, n.Lflag, n.Line, n.Cc})
	if err != nil {
		t.Fatal(err)
	}
	got := (ClearONLCR{}).Call().Args[2].memory.Bytes
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%v, want\n%v", got, want)
	}
}

func terminalRows(s slots) []row {
	file := s.file.Ref()
	const master = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	return []row{
		{Ioctl{file, unix.TIOCGPTPEER, master}, `ioctl($file, TIOCGPTPEER, O_RDWR|O_NOCTTY|O_CLOEXEC)`,
			unix.SYS_IOCTL, []any{cell(fileFD), unix.TIOCGPTPEER, master}},
		{Ioctl{file, unix.TIOCSCTTY, 0}, `ioctl($file, TIOCSCTTY, 0)`, unix.SYS_IOCTL, []any{cell(fileFD), unix.TIOCSCTTY, 0}},
		{UnlockTerminal{file}, `ioctl($file, TIOCSPTLCK, [0])`, unix.SYS_IOCTL, []any{cell(fileFD), unix.TIOCSPTLCK, uint32(0)}},
		{SetWindowSize{file, 24, 80}, `ioctl($file, TIOCSWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0})`,
			unix.SYS_IOCTL, []any{cell(fileFD), unix.TIOCSWINSZ, unix.Winsize{Row: 24, Col: 80}}},
		{ClearONLCR{file}, `ioctl($file, TCSETS, {c_iflag=ICRNL|IXON, c_oflag=NL0|CR0|TAB0|BS0|VT0|FF0|OPOST, ` +
			`c_cflag=B38400|CS8|CREAD, c_lflag=ISIG|ICANON|ECHO|ECHOE|ECHOK|IEXTEN|ECHOCTL|ECHOKE, ...})`,
			unix.SYS_IOCTL, []any{cell(fileFD), unix.TCSETS, modes{0x500, 1, 0xbf, 0x8a3b, 0, [19]byte{3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22}}}},
		{SendFD{file, s.dir, "/dev/ptmx"}, `sendmsg($file, {msg_name=NULL, msg_namelen=0, ` +
			`msg_iov=[{iov_base="/dev/ptmx", iov_len=9}], msg_iovlen=1, ` +
			`msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[$dir]}], ` +
			`msg_controllen=24, msg_flags=0}, MSG_NOSIGNAL)`,
			unix.SYS_SENDMSG, []any{cell(fileFD), message{"/dev/ptmx", rights(dirFD)}, unix.MSG_NOSIGNAL}},
	}
}

// rights is the control message that passes a descriptor: unix(7).
func rights(fd int32) any {
	return struct {
		Header     unix.Cmsghdr
		FD, Unused int32
	}{unix.Cmsghdr{Len: uint64(unix.CmsgLen(4)), Level: unix.SOL_SOCKET, Type: unix.SCM_RIGHTS}, fd, 0}
}
