package tests

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// podmanLimit bounds all of tests/podman/run, which takes two minutes and a half.
const podmanLimit = 8 * time.Minute

// TestPodman runs rootless podman on homerun: tests/podman/run, in the test
// machine, or right here when this is one.
func TestPodman(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: takes minutes")
	}
	here := os.Getenv("HOMERUN_TEST_MACHINE") == "1"
	if here && os.Getuid() == 0 {
		t.Skip("needs an unprivileged user")
	}
	ctx, cancel := context.WithTimeout(t.Context(), podmanLimit)
	defer cancel()
	script, err := filepath.Abs("podman/run")
	check(t, err)
	homerun := withHelper(t)
	cmd := exec.CommandContext(ctx, script)
	cmd.Env = append(os.Environ(), "HOMERUN="+homerun)
	if !here {
		cmd = exec.CommandContext(ctx, "../hack/machine", "run", "--share", filepath.Dir(homerun), "--env", "HOMERUN="+homerun,
			"--timeout", "460", "--", script)
	}
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if exitStatus(err) == 125 {
		unavailable(t, "needs the test machine: %s", out)
	}
	if err != nil || !regexp.MustCompile(`(?m)^[1-9][0-9]+ passed, 0 failed$`).Match(out) {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// withHelper puts the binary under test beside the helper for seccomp profiles,
// which needs C to be built: podman gives every container a profile.
func withHelper(t *testing.T) string {
	t.Helper()
	const helper = "homerun-seccomp"
	dir := filepath.Dir(shared.homerun)
	if err := copyFile("../bin/"+helper, filepath.Join(dir, helper), 0o755); err != nil {
		t.Skipf("needs bin/%s: make build", helper)
	}
	return shared.homerun
}
