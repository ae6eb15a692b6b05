package notify

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// unable ends a test that this host cannot run. It skips: hack/testrun then
// takes the test to the test machine, and counts one that ran nowhere as failed.
func unable(t testing.TB, why string) {
	t.Helper()
	t.Skip(why)
}

func limited(t testing.TB, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func systemctl(t testing.TB, args ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		args = append([]string{"--user"}, args...)
	}
	out, err := exec.CommandContext(limited(t, 20*time.Second), "systemctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// A Type=notify service becomes active by what its container says.
func TestMachineNotify(t *testing.T) {
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" {
		unable(t, "needs the test machine (hack/machine)")
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--quiet", "--collect", "--service-type=notify", "--unit=homerun-test-notify", "--property=NotifyAccess=main",
		"--property=TimeoutStartSec=10", "--setenv=HOMERUN_TEST_RELAY=1", executable, "-test.run=^TestInService$"}
	if os.Getuid() != 0 {
		args = append([]string{"--user"}, args...)
	}
	out, err := exec.CommandContext(limited(t, 30*time.Second), "systemd-run", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := systemctl(t, "show", "-p", "ActiveState,StatusText", "homerun-test-notify.service"); got != "StatusText=from the container\nActiveState=active" && got != "ActiveState=active\nStatusText=from the container" {
		t.Errorf("systemctl shows %q", got)
	}
	systemctl(t, "stop", "homerun-test-notify.service")
}

// TestInService is the inside of TestMachineNotify: it relays for a child.
func TestInService(t *testing.T) {
	if os.Getenv("HOMERUN_TEST_RELAY") != "1" {
		t.Log("only inside of TestMachineNotify")
		return
	}
	dir := t.TempDir()
	r, err := NewRelay(dir, os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	child := exec.Command("systemd-notify", "--ready", "--status=from the container", "--pid=1")
	child.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, socketName))
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.serve(limited(t, 10*time.Second), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	child.Wait()
}
