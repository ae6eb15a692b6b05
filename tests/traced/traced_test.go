package traced

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asksTheTime is set for this program when it is to make the calls of TestTime, as often as timesAsked, which is more
// than all its other calls.
const (
	asksTheTime = "HOMERUN_TEST_TIME"
	timesAsked  = 1000
)

func TestMain(m *testing.M) {
	if os.Getenv(asksTheTime) != "" {
		var now unix.Timespec
		for range timesAsked {
			if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestTime has a program ask for the time by system calls, as where there is no vdso(7). None of them is the one that fails.
func TestTime(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := program(t, "")
	p.Command, p.Env, p.Fail = []string{self}, []string{asksTheTime + "=1"}, unix.EIO
	if calls, status, err := p.Run(timesAsked); err != nil || status != 0 || calls >= timesAsked {
		t.Errorf("%d calls, status %d, %v", calls, status, err)
	}
}

// TestFail has each call of a program fail, one run after the other: one of them is that
// which opens its file.
func TestFail(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("calls fail on amd64 only")
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, calls, _ := run(t, name, 0)
	for at := 1; at <= calls; at++ {
		if said, _, status := run(t, name, at); status == 1 && strings.Contains(said, name+": Input/output error") {
			return
		}
	}
	t.Errorf("none of %d calls was the one that opens a file", calls)
}

// TestKill kills it at its first call.
func TestKill(t *testing.T) {
	p := program(t, "/dev/null")
	if calls, status, err := p.Run(1); err != nil || status != -1 || calls != 1 {
		t.Errorf("%d calls, status %d, %v", calls, status, err)
	}
}

func run(t *testing.T, name string, at int) (said string, calls, status int) {
	t.Helper()
	p := program(t, name)
	p.Fail = unix.EIO
	calls, status, err := p.Run(at)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.Out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text), calls, status
}

func program(t *testing.T, name string) *Program {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return &Program{Command: []string{"/bin/cat", name}, Dir: "/", Out: out, Env: []string{"LC_ALL=C"}, Limit: 10 * time.Second}
}
