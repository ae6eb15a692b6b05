package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
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
