package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestForegroundMemory looks at a run that waits for its program, which may take days.
// crun keeps 3.3 MB. Before run gave pages back it kept 6 MB. It still passes signals
// on, and ends as the program does.
func TestForegroundMemory(t *testing.T) {
	const most, mostThreads = 3 << 10, 10 // kB
	w := newWorld(t, "user")
	bundle := w.bundle(t, "waits", `trap 'exit 7' TERM; while :; do sleep .1; done`)
	cmd := exec.Command(w.command, "--root", w.state, "run", "-b", bundle, "waits")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var resident, threads int
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(100 * time.Millisecond) {
		status := processStatus(t, cmd.Process.Pid)
		resident, threads = status("VmRSS"), status("Threads")
		if _, err := os.Stat(filepath.Join(w.state, "waits", "state.json")); err == nil && status("VmHWM") > most && resident <= most {
			break
		}
	}
	if resident > most || threads > mostThreads {
		t.Errorf("a run that waits has %d kB and %d threads, want at most %d and %d", resident, threads, most, mostThreads)
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // its status is looked at
	if got := cmd.ProcessState.ExitCode(); got != 7 {
		t.Errorf("run ended with %d, want 7", got)
	}
}

// processStatus reads /proc/PID/status, and returns a function that finds a number in it.
func processStatus(t *testing.T, pid int) func(field string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	return func(field string) int {
		_, rest, _ := bytes.Cut(text, []byte("\n"+field+":"))
		number, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
		if err != nil {
			t.Fatalf("%s: %v", field, err)
		}
		return number
	}
}

// TestPeakMemory holds each verb's peak to what it needs. crun 1.28 takes 3.3 to 3.7 MB, and
// homerun took 5.4 to 6.4 before the functions that verbs call stood side by side
// (hack/order). A number that is over is most often that of a function that is new and
// not in the order yet: `make order` measures it.
func TestPeakMemory(t *testing.T) {
	if os.Getenv("HOMERUN_TEST_MACHINE") == "1" || os.Getpagesize() != 4096 {
		t.Skip("the numbers are those of an ordinary kernel, with pages of 4 KiB")
	}
	w := newWorld(t, "user")
	// As it is built for users: the order is the linker's.
	program := filepath.Join(w.dir, "built")
	if err := copyFile("../bin/homerun", program, 0o755); err != nil {
		t.Fatalf("%v (make build)", err)
	}
	evict(t, program)
	script := "#!/bin/sh\nexec " + w.become() + w.environment() + program + " --cgroup-manager disabled --root " + w.state + " \"$@\"\n"
	if err := os.WriteFile(w.command, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	short, long := w.bundle(t, "short", "exit"), w.bundle(t, "long", "exec sleep 1000")
	least := map[string]int{}
	for i := range 4 {
		id := "c" + strconv.Itoa(i)
		for _, args := range [][]string{{"run", "-b", short, id}, {"create", "-b", long, id}, {"start", id}, {"exec", id, "true"}, {"state", id},
			{"list"}, {"kill", id, "KILL"}, {"delete", "--force", id}} {
			if peak := peakMemory(t, w.command, args); least[args[0]] == 0 || peak < least[args[0]] {
				least[args[0]] = peak
			}
		}
	}
	for verb, most := range map[string]int{"run": 4700, "create": 5000, "start": 3700, "exec": 4200, "state": 3800, "list": 3900, "kill": 3700, "delete": 3600} {
		if least[verb] > most {
			t.Errorf("%s takes %d kB at its peak, want at most %d", verb, least[verb], most)
		}
	}
}

// evict has a file read anew from the disk, as after the machine's start. The kernel keeps
// one that was written at once in larger pieces, and maps all of such a piece.
func evict(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// peakMemory runs a command, and returns what it had of memory at most, in kB. What
// wait4(2) says is no use: it has the memory of this test's own process, which the
// command's begins as.
func peakMemory(t *testing.T, command string, args []string) (peak int) {
	t.Helper()
	runtime.LockOSThread() // ptrace(2) knows threads
	defer runtime.UnlockOSThread()
	cmd := exec.Command(command, args...)
	cmd.SysProcAttr = &unix.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, status := cmd.Process.Pid, unix.WaitStatus(0)
	for first := true; ; first = false {
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
			t.Fatal(err)
		}
		signal := status.StopSignal()
		switch {
		case status.Exited() && status.ExitStatus() == 0:
			return peak
		case !status.Stopped():
			t.Fatalf("%v ended with %x", args, status)
		case first:
			if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACEEXIT|unix.PTRACE_O_EXITKILL); err != nil {
				t.Fatal(err)
			}
		case status.TrapCause() == unix.PTRACE_EVENT_EXIT:
			peak = processStatus(t, pid)("VmHWM")
		}
		if signal == unix.SIGTRAP { // of an execve, too
			signal = 0
		}
		if err := unix.PtraceCont(pid, int(signal)); err != nil {
			t.Fatal(err)
		}
	}
}
