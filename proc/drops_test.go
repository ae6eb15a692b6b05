package proc

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// awaitSignals gives SIGTERM its default action, blocks it, and waits for it, as small
// inits do: while it waits, the signal is not in the set of those that are blocked.
func awaitSignals() {
	runtime.LockOSThread()
	set := unix.Sigset_t{}
	set.Val[0] = 1 << (unix.SIGTERM - 1)
	action := [4]uint64{}
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGTERM), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	if mask := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); errno != 0 || mask != nil || unix.Gettid() != os.Getpid() {
		panic("cannot be as a small init")
	}
	fmt.Println("ready")
	for errno = unix.EINTR; errno == unix.EINTR; { // by one of Go's own signals
		_, _, errno = unix.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&set)), 0, 0, 8, 0, 0)
	}
	fmt.Println("got", errno)
	os.Exit(3)
}

// inNamespace starts a program that says "ready" as the init of a PID namespace.
func inNamespace(t *testing.T, flags uintptr, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"PROC_TEST=awaits signals", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	if flags&unix.CLONE_NEWUSER == 0 {
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = nil, nil
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd
}

// Dropped is what the init of a PID namespace has no use for; nothing that a process
// catches, ignores, blocks or waits for, or that is no such init.
func TestDrops(t *testing.T) {
	const own = unix.CLONE_NEWUSER | unix.CLONE_NEWPID
	for _, c := range []struct {
		name  string
		flags uintptr
		args  []string
		drops bool
	}{
		{"default", own, []string{"sh", "-c", "echo ready; exec sleep 100"}, true},
		{"no init", unix.CLONE_NEWUSER, []string{"sh", "-c", "echo ready; exec sleep 100"}, false},
		{"caught", own, []string{"sh", "-c", "trap : TERM; echo ready; sleep 100"}, false},
		{"ignored", own, []string{"sh", "-c", "trap '' TERM; echo ready; exec sleep 100"}, false},
		{"awaited", own, []string{os.Args[0]}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			pid := inNamespace(t, c.flags, c.args...).Process.Pid
			settle()
			if got := Drops(pid, unix.SIGTERM); got != c.drops {
				status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
				call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
				t.Errorf("dropped: %t, want %t\n%s%s", got, c.drops, status, call)
			}
		})
	}
	if Drops(1<<30, unix.SIGTERM) {
		t.Error("to nobody")
	}
}

// One that is in the call at the first look and at the last, and was out of it between,
// awaits the signal: its texts are those that TestDrops has read once in a thousand times.
func TestDropsBetween(t *testing.T) {
	status := func(switches int) string {
		return fmt.Sprintf("Name:\tx\nNSpid:\t7\t1\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\nvoluntary_ctxt_switches:\t%d\nnonvoluntary_ctxt_switches:\t3\n", switches)
	}
	waits, sleeps := fmt.Sprintf("%d 0x7f 0x0\n", unix.SYS_RT_SIGTIMEDWAIT), fmt.Sprintf("%d 0x7f\n", unix.SYS_PAUSE)
	for name, c := range map[string]struct {
		calls []string // one a look, the last one from then on
		still bool
		drops bool
	}{
		"between two waits, running": {[]string{"running\n", waits}, false, false},
		"between two waits, asleep":  {[]string{sleeps, waits}, false, false},
		"began to wait":              {[]string{"running\n", waits}, true, false},
		"asleep":                     {[]string{sleeps}, true, true},
		"sleeps now and then":        {[]string{sleeps}, false, true},
		"never waits":                {[]string{"running\n"}, true, true},
		"not to be seen":             {[]string{""}, true, false},
	} {
		n, look := 0, 0
		got := dropsBy(unix.SIGTERM, func(file string) string {
			if file == "status" {
				if !c.still {
					n++
				}
				return status(n)
			}
			look++
			return c.calls[min(look, len(c.calls))-1]
		})
		if got != c.drops {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// settle lets a program that has said something come to rest.
func settle() { time.Sleep(50 * time.Millisecond) }

func TestDropsText(t *testing.T) {
	const text = "Name:\tx\nNSpid:\t7\t1\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"
	if !drops(text, unix.SIGTERM) {
		t.Error("not dropped")
	}
	for _, change := range [][2]string{{"SigBlk:\t0000000000000000", "SigBlk:\t0000000000004000"}, {"SigIgn:\t0000000000000000", "SigIgn:\t0000000000004000"},
		{"SigCgt:\t0000000000000000", "SigCgt:\t0000000000004000"}, {"SigCgt", "Other"}, {"SigIgn:\t0", "SigIgn:\tx"}, {"\t7\t1", "\t7"}, {"\t7\t1", "\t7\t2"}} {
		if drops(strings.Replace(text, change[0], change[1], 1), unix.SIGTERM) {
			t.Errorf("dropped with %s", change[1])
		}
	}
	if strings.Contains(text, "4000") || !drops(strings.Replace(text, "SigCgt:\t0000000000000000", "SigCgt:\t0000000000004000", 1), unix.SIGINT) {
		t.Error("SIGINT is not SIGTERM")
	}
	if drops(text, 0) {
		t.Error("signal 0 asks whether somebody is there, and does nothing else")
	}
	if drops(text, 65) {
		t.Error("there is no signal 65")
	}
	for call, want := range map[string]bool{"running\n": false, "-1 0x7ff 0x7f\n": false, fmt.Sprintf("%d 0x7f 0x0\n", unix.SYS_RT_SIGTIMEDWAIT): true, "421 0x1\n": true, "": false} {
		if awaits(call) != want {
			t.Errorf("%q: %t", call, !want)
		}
	}
}

// Who has thought of a signal catches or blocks it; who ignores it or has the default
// action has not.
func TestHeeds(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		heeds  bool
	}{
		"default": {"echo ready; exec sleep 100", false},
		"ignored": {"trap '' TERM; echo ready; exec sleep 100", false},
		"caught":  {"trap : TERM; echo ready; sleep 100", true},
	} {
		pid := inNamespace(t, unix.CLONE_NEWUSER|unix.CLONE_NEWPID, "sh", "-c", c.script).Process.Pid
		settle()
		if got := Heeds(pid, unix.SIGTERM); got != c.heeds {
			t.Errorf("%s: %t", name, got)
		}
	}
	if Heeds(1<<30, unix.SIGTERM) || Program(1<<30) != 0 {
		t.Error("of nobody")
	}
	outer := inNamespace(t, unix.CLONE_NEWUSER|unix.CLONE_NEWPID, "sh", "-c", "sleep 100 & sleep 50 & echo ready; wait").Process.Pid
	settle()
	if text := file(Program(outer), "cmdline"); text != "sleep\x00100\x00" {
		t.Errorf("the first child is %q", text)
	}
}
