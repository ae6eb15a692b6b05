// Package podman runs rootless podman on homerun. It is a package of its own since it
// waits for most of its time, and mostly in the test machine: other tests run meanwhile.
package podman

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// limit bounds all of ./run, which takes two minutes and a half.
const limit = 8 * time.Minute

// TestPodman is ./run, in the test machine, or right here when this is one.
func TestPodman(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: takes minutes")
	}
	here := os.Getenv("HOMERUN_TEST_MACHINE") == "1"
	if here && os.Getuid() == 0 {
		t.Skip("needs an unprivileged user")
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	script, err := filepath.Abs("run")
	if err == nil {
		_, err = os.ReadDir(".") // so that go sees when a script has changed, and does not answer out of its cache
	}
	if err != nil {
		t.Fatal(err)
	}
	homerun := withHelper(t)
	cmd := exec.CommandContext(ctx, script)
	cmd.Env = append(os.Environ(), "HOMERUN="+homerun)
	if !here {
		cmd = exec.CommandContext(ctx, "../../hack/machine", "run", "--share", filepath.Dir(homerun), "--env", "HOMERUN="+homerun,
			"--timeout", "460", "--", script)
	}
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 125 {
		if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
			t.Skipf("needs the test machine: %s", out)
		}
		t.Fatalf("needs the test machine (HOMERUN_TEST_MAY_SKIP=1 skips this): %s", out)
	}
	if err != nil || !regexp.MustCompile(`(?m)^[1-9][0-9]+ passed, 0 failed$`).Match(out) {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// withHelper is the binary under test: HOMERUN names another than the one that make
// built. Beside it is the helper for seccomp profiles: podman gives every container one.
func withHelper(t *testing.T) string {
	t.Helper()
	name := os.Getenv("HOMERUN")
	if name == "" {
		name = "../../bin/homerun"
	}
	name, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Fatalf("%v (make build)", err)
	}
	helper := filepath.Join(filepath.Dir(name), "homerun-seccomp")
	if _, err := os.Stat(helper); err != nil {
		t.Skipf("needs %s: make build", helper)
	}
	return name
}
