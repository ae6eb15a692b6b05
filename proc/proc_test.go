package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/tests/again"
	"golang.org/x/sys/unix"
)

// child starts a process of this one that runs until its standard input ends,
// and ends it.
func child(t *testing.T) (id ID, end func()) {
	t.Helper()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	if id, err = Of(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return id, func() { in.Close() }
}

// A process is the one that has the number and began then, until it has ended:
// a zombie has, before anybody waited for it.
func TestID(t *testing.T) {
	id, end := child(t)
	pidfd, err := id.Open()
	if err != nil || !id.Alive() {
		t.Fatalf("%+v lives: %v, %v", id, err, id.Alive())
	}
	defer unix.Close(pidfd)
	if flags, err := unix.FcntlInt(uintptr(pidfd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the pidfd outlives execve: %x, %v", flags, err)
	}
	if again, err := Of(id.Pid); err != nil || again != id {
		t.Errorf("%+v is %+v, %v", id, again, err)
	}
	if ended, err := AwaitEnd(t.Context(), pidfd, 0); ended || err != nil {
		t.Errorf("a living one: %v, %v", ended, err)
	}
	begun := time.Now()
	if ended, err := AwaitEnd(t.Context(), pidfd, 20*time.Millisecond); ended || err != nil || time.Since(begun) < 20*time.Millisecond {
		t.Errorf("a living one: %v, %v, after %v", ended, err, time.Since(begun))
	}
	end()
	for _, limit := range []time.Duration{-1, 0, time.Minute} {
		if ended, err := AwaitEnd(t.Context(), pidfd, limit); !ended || err != nil {
			t.Errorf("an ended one, within %v: %v, %v", limit, ended, err)
		}
	}
	if again, err := Of(id.Pid); err != nil || again != id || id.Alive() {
		t.Errorf("the zombie of %+v: %+v, %v, %v", id, again, err, id.Alive())
	}
	if _, err := id.Open(); !errors.Is(err, ErrEnded) {
		t.Errorf("the zombie: %v", err)
	}
}

// TestMain is also the process of TestFirstThreadEnds, and others.
func TestMain(m *testing.M) {
	switch os.Getenv("PROC_TEST") {
	case "first thread ends":
		endFirstThread()
	case "awaits signals":
		awaitSignals()
	case "an init ends":
		endInit()
	}
	os.Exit(m.Run())
}

// endFirstThread ends this process's first thread; another one lives until the
// standard input ends.
func endFirstThread() {
	runtime.LockOSThread()
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	if unix.Gettid() != os.Getpid() {
		panic("this is not the first thread")
	}
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
}

// A process lives as long as one of its threads, though the kernel calls it a
// zombie when its first one has ended: proc_pid_stat(5) shows that one's state.
func TestFirstThreadEnds(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"PROC_TEST=first thread ends"}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	id, err := Of(cmd.Process.Pid)
	for s := (status{}); s.state != 'Z' && err == nil; time.Sleep(time.Millisecond) {
		s, err = stat(id.Pid)
	}
	if lives, e := id.Lives(); !lives || err != nil || e != nil || id.Ending() {
		t.Errorf("%+v lives: %v, %v, %v; ending: %v", id, lives, err, e, id.Ending())
	}
	pidfd, err := id.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	in.Close()
	if ended, err := AwaitEnd(context.Background(), pidfd, time.Minute); !ended || err != nil || id.Alive() {
		t.Errorf("%+v: ended %v, %v; lives: %v", id, ended, err, id.Alive())
	}
}

// endInit says how the init of a PID namespace is that was killed while another process of
// that, a child of this one, was not waited for: the init is no zombie before.
func endInit() {
	runtime.LockOSThread()
	_ = exec.Command("true").Run() // package os makes a process of its own, once
	if err := unix.Unshare(unix.CLONE_NEWPID); err != nil {
		panic(err)
	}
	first, other := exec.Command("sleep", "60"), exec.Command("sleep", "60")
	if err := errors.Join(first.Start(), other.Start()); err != nil {
		panic(err)
	}
	id, err := Of(first.Process.Pid)
	fmt.Println("before", id.Alive(), id.Ending(), err)
	pidfd, err := unix.PidfdOpen(other.Process.Pid, 0)
	_ = first.Process.Kill()
	_, _ = AwaitEnd(context.Background(), pidfd, time.Minute)
	fmt.Println("killed", id.Alive(), id.Ending(), err)
	_, _ = other.Process.Wait()
	_, _ = first.Process.Wait()
	fmt.Println("reaped", id.Alive(), id.Ending())
	os.Exit(0)
}

// A process that was killed may not be a zombie yet.
func TestEnding(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"PROC_TEST=an init ends", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skipf("needs user namespaces: %v", err)
	}
	if want := "before true false <nil>\nkilled true true <nil>\nreaped false true\n"; string(out) != want || err != nil {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
}

// Who waits for ever, or for long, waits until the process ends and not longer;
// the shortest time is one, too.
func TestAwaitEnd(t *testing.T) {
	for _, limit := range []time.Duration{-1, time.Minute} {
		id, end := child(t)
		pidfd, err := id.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pidfd)
		begun := time.Now()
		if ended, err := AwaitEnd(t.Context(), pidfd, 1500*time.Microsecond); ended || err != nil || time.Since(begun) < 1500*time.Microsecond {
			t.Errorf("a living one: %v, %v, after %v", ended, err, time.Since(begun))
		}
		time.AfterFunc(30*time.Millisecond, end)
		if ended, err := AwaitEnd(t.Context(), pidfd, limit); !ended || err != nil || time.Since(begun) > 30*time.Second {
			t.Errorf("within %v: %v, %v, after %v", limit, ended, err, time.Since(begun))
		}
	}
}

// What is not the process, or none at all, has ended.
func TestNotThatProcess(t *testing.T) {
	self, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // and so never the process's first thread
	defer runtime.UnlockOSThread()
	thread, err := Of(unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	for what, id := range map[string]ID{"a later start": {self.Pid, self.StartTime + 2}, "an earlier start": {self.Pid, self.StartTime - 2}, "no number": {}, "a group": {-1, self.StartTime},
		"none": {1 << 22, 1}, "a thread": thread} {
		if what == "a thread" && thread.Pid == self.Pid {
			continue
		}
		pidfd, err := id.Open()
		if pidfd != -1 || !errors.Is(err, ErrEnded) {
			t.Errorf("%s: %d, %v", what, pidfd, err)
		}
		if what != "a thread" && id.Alive() {
			t.Errorf("%s is alive", what)
		}
	}
	if _, err := Of(1 << 22); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v", err)
	}
	if first, err := Of(1); err == nil { // else procfs hides it: hidepid
		pidfd, err := first.Open()
		if err != nil {
			t.Fatalf("the first process: %v", err)
		}
		unix.Close(pidfd)
	}
}

// A descriptor that cannot be asked is an error or an end, and no reason to wait.
func TestAwaitNothing(t *testing.T) {
	begun := time.Now()
	_, _ = AwaitEnd(t.Context(), 1<<20, time.Minute)
	if _, ok := AwaitStatus(t.Context(), 1<<20, time.Minute); ok || time.Since(begun) > 30*time.Second {
		t.Errorf("%v, after %v", ok, time.Since(begun))
	}
}

func TestInnermost(t *testing.T) {
	for text, want := range map[string]int{"Name:\tsh\nNSpid:\t4711\t12\t1\nNSpgid:\t9\t8\n": 1, "Name:\tsh\nNSpid:\t4711": 4711,
		"Name:\tNSpid:\n": 0, "a\nNSpid:\n": 0, "a\nNSpid:\tx\n": 0, "": 0} {
		if got := innermost(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if got := Innermost(os.Getpid()); got < 1 || got > os.Getpid() {
		t.Errorf("of this process: %d", got)
	}
	if got := Innermost(1 << 22); got != 0 {
		t.Errorf("of none: %d", got)
	}
}

// What root may depends on it, so it is not only the number's absence.
func TestInInitialUserNamespace(t *testing.T) {
	name, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := InInitialUserNamespace(), name == "user:[4026531837]"; got != want {
		t.Errorf("%v in %s", got, name)
	}
}

// A text that does not go as far as the start time is not one, and neither is the
// start time that is no number.
func TestParseStat(t *testing.T) {
	fields := strings.Repeat(" 1", 16) + " 8 1"
	for _, text := range []string{"7 (sh) S" + fields + " 99", ") S" + fields + " 99", "7 (a b) c) S" + fields + " 99 0 0\n"} {
		if s, err := parseStat([]byte(text)); s != (status{'S', 8, 99, false}) || err != nil {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", ")", "7 (sh", "7 (sh) S" + fields, "7 sh S" + fields + " 99", "7 (sh) S" + fields + " x 0", "7 (sh) S" + fields + "  ", "7 (sh) S" + strings.Repeat(" -1", 18) + " 99"} {
		if s, err := parseStat([]byte(text)); err == nil || s.start != 0 {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}

// FuzzParseStat wants a process's state and start time whatever its name is, and
// no panic from anything else: proc_pid_stat(5).
func FuzzParseStat(f *testing.F) {
	f.Add("sh", byte('S'), uint64(12345), "")
	f.Add("a) Z 1 2", byte('R'), uint64(0), "1 (sh) S 1")
	f.Add(") (", byte('D'), uint64(1<<64-1), "1 (sh) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 x 1")
	f.Add("\n\x00\xff", byte('t'), uint64(7), "))))")
	f.Fuzz(func(t *testing.T, name string, state byte, start uint64, other string) {
		if state > ' ' && state != ')' {
			line := "7 (" + name + ") " + string(rune(state&0x7f|0x40)) + strings.Repeat(" -1", 16) + " 2 -1 " + strconv.FormatUint(start, 10) + " 0 0\n"
			got, err := parseStat([]byte(line))
			if want := (status{state&0x7f | 0x40, 2, start, false}); err != nil || got != want {
				t.Errorf("%q: %+v %v", line, got, err)
			}
		}
		_, _ = parseStat([]byte(other))
	})
}

// A time namespace whose shift has a part of a tick rounds half of the start times to
// another tick than others do.
func TestRoundedStart(t *testing.T) {
	self, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for difference, want := range map[int]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
		id := ID{self.Pid, self.StartTime + uint64(difference)}
		if lives, err := id.Lives(); lives != want || err != nil {
			t.Errorf("%d ticks away: %v, %v", difference, lives, err)
		}
	}
}

// What a time namespace adds to start times is read from each way in which the kernel
// has named the clock, and a clock that was set back takes away.
func TestBootShift(t *testing.T) {
	for text, want := range map[string]int64{
		"monotonic           5         0\nboottime       100000         0\n": 10000000,
		"boottime            3 420000000\nmonotonic           0         0\n": 342,
		"1          0         0\n7         -2         0\n":                   -200,
	} {
		if got, err := bootShift(text); err != nil || int64(got) != want {
			t.Errorf("%q: %d, %v", text, int64(got), err)
		}
	}
	for _, text := range []string{"", "boottime 1\n", "boottime x 0\n", "monotonic 1 0\n"} {
		if _, err := bootShift(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	if shift, err := startShift(); err != nil || shift != 0 {
		t.Errorf("here: %d, %v", shift, err)
	}
	if own, err := PIDNamespace(); err != nil || own == 0 {
		t.Errorf("the PID namespace is %d, %v", own, err)
	}
}

// TestCoveredNamespaces: where something is mounted on a link to a namespace, its number is not known, and start times are
// those of the time namespace all the same.
func TestCoveredNamespaces(t *testing.T) {
	const variable = "HOMERUN_TEST_COVERED"
	if os.Getenv(variable) == "" {
		again.WithMounts(t, variable+"=1")
		return
	}
	before, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"time", "pid", "user"} {
		again.Cover(t, "/proc/self/ns/"+kind)
		if number, err := ownNamespace(kind); err != unix.EINVAL {
			t.Errorf("%s: %d, %v", kind, number, err)
		}
	}
	if now, err := Of(os.Getpid()); err != nil || now != before {
		t.Errorf("this process is %v, before %v: %v", now, before, err)
	}
}

// TestNamespaceText: what is no text of a link to a namespace of the kind has no number, and each link has the inode's.
func TestNamespaceText(t *testing.T) {
	if number, err := namespaceNumber("user", "user:[4026531837]"); err != nil || number != 4026531837 {
		t.Errorf("%d, %v", number, err)
	}
	for _, text := range []string{"", "4026531837", "pid:[4026531837]", "user:[4026531837", "user:[4026531837] ", "user:[]", "user:[0]", "user:[-1]", "user:[x]",
		"user:[18446744073709551616]", "/etc/passwd"} {
		if number, err := namespaceNumber("user", text); err != unix.EINVAL {
			t.Errorf("%q: %d, %v", text, number, err)
		}
	}
	links, err := os.ReadDir("/proc/self/ns")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range links {
		if strings.Contains(kind.Name(), "_for_children") { // whose text has another kind's name
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat("/proc/self/ns/"+kind.Name(), &st); err != nil {
			t.Fatal(err)
		}
		if got, err := ownNamespace(kind.Name()); got != st.Ino || err != nil {
			t.Errorf("%s: %d, %v, want %d", kind.Name(), got, err, st.Ino)
		}
	}
}

// TestUnseen: a process that lives and that /proc does not show is not one that has ended.
func TestUnseen(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOENT, unix.EPERM} {
		err := unseen(unix.Getpid(), errno)
		if !errors.Is(err, ErrHidden) || !strings.Contains(fault.Hint(err), "findmnt /proc") {
			t.Errorf("%v: %v", errno, err)
		}
	}
	for pid, errno := range map[int]unix.Errno{unix.Getpid(): unix.EMFILE, 1<<22 + 1: unix.ENOENT} {
		if err := unseen(pid, errno); !errors.Is(err, errno) || errors.Is(err, ErrHidden) {
			t.Errorf("%v of %d: %v", errno, pid, err)
		}
	}
}
