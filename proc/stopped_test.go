package proc

import (
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStopped: a signal stops a process; who traces one has not stopped it for good.
func TestStopped(t *testing.T) {
	runtime.LockOSThread() // which traces
	defer runtime.UnlockOSThread()
	for _, traced := range []bool{false, true} {
		cmd := exec.Command("sleep", "100")
		cmd.SysProcAttr = &unix.SysProcAttr{Ptrace: traced}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pid, options := cmd.Process.Pid, unix.WSTOPPED|unix.WNOWAIT
		if Stopped(pid) && !traced {
			t.Error("stopped before any signal")
		}
		if !traced {
			_ = unix.Kill(pid, unix.SIGSTOP)
		}
		if err := unix.Waitid(unix.P_PID, pid, nil, options, nil); err != nil {
			t.Error(err)
		}
		if Stopped(pid) == traced {
			t.Errorf("traced %v: stopped is %v", traced, traced)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
