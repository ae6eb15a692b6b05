package spawn

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openFiles is the test's own limit, with which a program's execve is not waited for.
func openFiles(t *testing.T) *unix.Rlimit {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return &limit
}

// TestArrange tries all ways to give up to five files the first numbers, some of which
// are gaps: each gets its own, and none closes at execve.
func TestArrange(t *testing.T) {
	type open struct {
		file    int // whose number it was
		cloexec bool
	}
	var try func(files []uintptr)
	try = func(files []uintptr) {
		l := &list{}
		l.arrange(files)
		table := map[int]open{}
		for fd := range 7 {
			table[fd] = open{fd, true}
		}
		for _, c := range l.calls {
			switch c.number {
			case unix.SYS_DUP3:
				from, ok := table[int(c.a)]
				if !ok || c.a == c.b {
					t.Fatalf("%v: dup3(%d, %d)", files, c.a, c.b)
				}
				table[int(c.b)] = open{from.file, c.c == unix.O_CLOEXEC}
			case unix.SYS_FCNTL:
				table[int(c.a)] = open{table[int(c.a)].file, false}
			case unix.SYS_CLOSE_RANGE:
				delete(table, int(c.a))
			}
		}
		for i, f := range files {
			got, ok := table[i]
			if want := (open{int(f), false}); int(f) < 0 && ok || int(f) >= 0 && got != want {
				t.Fatalf("%v: %d is %+v, want %+v", files, i, got, want)
			}
		}
		for fd, o := range table {
			if fd >= len(files) && !o.cloexec {
				t.Fatalf("%v: %d stays open", files, fd)
			}
		}
		if len(files) < 5 {
			for f := -1; f < 7; f++ {
				try(append(slices.Clone(files), uintptr(f)))
			}
		}
	}
	try(nil)
}

// wait reaps the process.
func wait(t *testing.T, pid int) unix.WaitStatus {
	t.Helper()
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err == nil {
			return status
		}
		if err != unix.EINTR {
			t.Fatal(err)
		}
	}
}

// status is what a program finds in its status and limits of /proc, and in which directory
// it is.
func status(t *testing.T, limit *unix.Rlimit) string {
	t.Helper()
	var output [2]int
	if err := unix.Pipe2(output[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r := os.NewFile(uintptr(output[0]), "output")
	defer r.Close()
	p, err := Start(Program{Path: "/bin/cat", Args: []string{"cat", "self/status", "self/limits", "self/environ"}, Directory: "/proc",
		Files: []uintptr{0, uintptr(output[1]), 2}, OpenFiles: limit})
	unix.Close(output[1])
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := wait(t, p.PID); got.ExitStatus() != 0 || p.Failed() != nil {
		t.Errorf("%s ended with %v, %v", text, got, p.Failed())
	}
	return string(text)
}

// TestInherits: the process has the thread's signal mask, handles no signal, ignores
// what the caller does, and has the limit that is wanted.
func TestInherits(t *testing.T) {
	signal.Ignore(unix.SIGUSR2)
	defer signal.Reset(unix.SIGUSR2)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old unix.Sigset_t
	set := unix.Sigset_t{Val: [16]uint64{1 << (unix.SIGUSR1 - 1)}}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &set, &old); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }()
	limit := unix.Rlimit{Cur: 77, Max: openFiles(t).Max}
	text := status(t, &limit)
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, ignored, _ := strings.Cut(string(own), "SigIgn:") // with SIGUSR2, and what the test's caller ignores
	for _, want := range []string{"SigBlk:\t0000000000000200\n", "SigIgn:" + strings.SplitAfter(ignored, "\n")[0],
		"SigCgt:\t0000000000000000\n", "\nMax open files            77 "} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "PATH=") {
		t.Errorf("want an empty environment:\n%s", text)
	}
	var now unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, nil, &now); err != nil || now != set {
		t.Errorf("the caller's mask is %v, %v afterwards", now, err)
	}
}

// TestFailed: what fails before the program is executed is said once the process has ended;
// with ForkExec at once.
func TestFailed(t *testing.T) {
	const closed = 971
	for _, test := range []struct {
		program Program
		want    error
	}{
		{Program{Path: "/bin/true", Files: []uintptr{0, 1, 2, closed}}, unix.EBADF},
		{Program{Path: filepath.Join(t.TempDir(), "none"), Files: []uintptr{0, 1, 2}}, unix.ENOENT},
		{Program{Path: "/bin/true", Directory: filepath.Join(t.TempDir(), "none"), Files: []uintptr{0, 1, 2}}, unix.ENOENT},
		{Program{Path: "/bin/true", Files: []uintptr{0, 1, 2}}, nil},
	} {
		test.program.Args = []string{"true"}
		for _, limit := range []*unix.Rlimit{openFiles(t), nil} {
			test.program.OpenFiles = limit
			p, err := Start(test.program)
			if p.list == nil {
				if !errors.Is(err, test.want) {
					t.Errorf("%+v: %v, want %v", test.program, err, test.want)
				}
				if err == nil {
					wait(t, p.PID)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			got := wait(t, p.PID)
			if failed := p.Failed(); failed != test.want || (failed != nil) != (got.ExitStatus() == 127) {
				t.Errorf("%+v: %v, ended with %d; want %v", test.program, failed, got.ExitStatus(), test.want)
			}
		}
	}
	for _, p := range []Program{{Path: "/bin/\x00"}, {Path: "/bin/true", Args: []string{"\x00"}}, {Path: "/bin/true", Directory: "\x00"}} {
		p.OpenFiles = openFiles(t)
		if _, err := Start(p); err != unix.EINVAL {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// TestRefused: where a filter does not let clone3 or prlimit64 through, or the kernel does not
// know clone3's flags (EINVAL), programs start all the same.
func TestRefused(t *testing.T) {
	for _, refused := range []struct {
		number uint32
		errno  unix.Errno
	}{{unix.SYS_CLONE3, unix.ENOSYS}, {unix.SYS_CLONE3, unix.EINVAL}, {unix.SYS_CLONE3, unix.EPERM}, {unix.SYS_PRLIMIT64, unix.EPERM}} {
		limit := openFiles(t)
		var text string
		var done sync.WaitGroup
		done.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread with the filter ends here
			program := []unix.SockFilter{
				{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
				{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: refused.number, Jf: 1},
				{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(refused.errno)},
				{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
			}
			filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
			if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				t.Error(err)
				return
			}
			if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0); err != nil {
				t.Error(err)
				return
			}
			text = status(t, limit)
		})
		done.Wait()
		if !strings.Contains(text, "Seccomp:\t2\n") {
			t.Errorf("%+v: want a program with a filter:\n%s", refused, text)
		}
	}
}

// TestUnderSignals: signals that come while the process shares the memory harm neither.
func TestUnderSignals(t *testing.T) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGUSR1)
	defer signal.Stop(c)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Kill(unix.Getpid(), unix.SIGUSR1)
					_ = unix.Kill(unix.Getpid(), unix.SIGURG) // Go's own
				}
			}
		})
	}
	for range 100 {
		p, err := Start(Program{Path: "/bin/false", Args: []string{"false"}, Files: []uintptr{0, 1, 2}, OpenFiles: openFiles(t)})
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		if got := wait(t, p.PID); got.ExitStatus() != 1 {
			t.Fatalf("ended with %v, %v", got, p.Failed())
		}
	}
	close(stop)
	all.Wait()
}

// TestHandlesNothing: a signal that is let through before the process's execve does not
// run Go's handler in it.
func TestHandlesNothing(t *testing.T) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGUSR1)
	defer signal.Stop(c)
	l, err := newList(Program{Path: "/bin/true", Args: []string{"true"}, Files: []uintptr{0, 1, 2}, OpenFiles: openFiles(t)})
	if err != nil {
		t.Fatal(err)
	}
	action := &[4]uint64{1, 1, 1, 1}       // struct sigaction, whose handler is first: rt_sigaction(2)
	t.Cleanup(func() { clear(action[:]) }) // so it is on the heap, and does not move
	last := len(l.calls) - 1
	ask := call{unix.SYS_RT_SIGACTION, uintptr(unix.SIGUSR1), 0, uintptr(unsafe.Pointer(action)), 8}
	l.calls = slices.Insert(l.calls, last, ask)
	pid, err := l.begin()
	if err == unix.ENOSYS {
		return // on another machine
	}
	if err != nil {
		t.Fatal(err)
	}
	got := wait(t, pid)
	if runtime.KeepAlive(l); got.ExitStatus() != 0 || action[0] != 0 {
		t.Errorf("ended with %v; the handler is %#x, want SIG_DFL", got, action[0])
	}
}
