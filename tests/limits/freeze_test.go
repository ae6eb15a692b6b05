package limits

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
	"golang.org/x/sys/unix"
)

// What pause, resume, start, state, kill and delete say of a container that
// was paused before it was started. Tried beside it: exec, kill of a signal
// that waits, delete without and with --force.
func TestPausedBeforeStart(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, "", "sleep", "100")
		t.Cleanup(func() { b.must("delete", "--force", b.id) })
		b.must("create", "--bundle", b.dir, b.id)
		b.must("pause", b.id)
		b.wantStatus("paused")
		for verb, want := range map[string]string{"start": "cannot start a container in the paused state",
			"delete": "it is not stopped", "pause": "the container is paused, not running"} {
			if out, err := b.homerun(verb, b.id); err == nil || !strings.Contains(out, want) {
				t.Errorf("%s: %v: %s", verb, err, out)
			}
		}
		b.must("resume", b.id)
		b.wantStatus("created")
		b.must("start", b.id)
		b.wantStatus("running")
		b.must("pause", b.id)
		b.must("kill", b.id, "KILL")
		eventually(t, "stopped", func() bool { return b.state().Status == "stopped" })
	})
}

func (b *box) wantStatus(want string) {
	b.t.Helper()
	if got := b.state().Status; got != want {
		b.t.Errorf("status %q, want %q", got, want)
	}
}

// freezeAbove freezes the cgroup above the container's, as `systemctl freeze`
// does, and thaws it in the end.
func freezeAbove(t *testing.T, cgroup string) {
	t.Helper()
	file := filepath.Join(filepath.Dir(cgroup), "cgroup.freeze")
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(file, []byte("0"), 0) })
}

// A cgroup above that is frozen holds the container: start and resume say so at
// once, and do not wait.
func TestFrozenAbove(t *testing.T) {
	guest.Need(t)
	for range 5 { // the kernel may take a moment to freeze
		b := newBox(t, "systemd", "", "sleep", "100")
		b.must("create", "--bundle", b.dir, b.id)
		freezeAbove(t, b.cgroup())
		begun := time.Now()
		out, err := b.homerun("start", b.id)
		if took := time.Since(begun); err == nil || took > 10*time.Second {
			t.Errorf("start after %s: %v: %s", took, err, out)
		}
		if !strings.Contains(out, "paused") && !strings.Contains(out, "is frozen, or one above it is") {
			t.Errorf("start: %s", out)
		}
		if out, err := b.homerun("resume", b.id); err == nil {
			t.Errorf("resume: %s", out)
		}
		b.must("delete", "--force", b.id)
	}
}

// A signal that ends programs ends a foreground run whose container is paused, whether
// its program catches that or not.
func TestPausedRunEnds(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGABRT} {
			pausedRunEnds(t, manager, s, "trap 'exit 7' TERM INT HUP QUIT ABRT; touch /begun; while :; do sleep 0.1; done", 7)
			pausedRunEnds(t, manager, s, "touch /begun; exec sleep 1000", 128+int(s))
		}
	})
}

func pausedRunEnds(t *testing.T, manager string, s unix.Signal, script string, status int) {
	t.Helper()
	b := newBox(t, manager, "", "sh", "-c", script)
	b.must("--version") // writes config.json
	cmd := exec.Command(guest.Homerun(t), "--root", b.root, "--cgroup-manager", b.manager, "run", "--bundle", b.dir, b.id)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	eventually(t, "begun", func() bool { _, err := os.Stat(filepath.Join(b.dir, "rootfs/begun")); return err == nil })
	b.must("pause", b.id)
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
		if code := cmd.ProcessState.ExitCode(); code != status {
			t.Errorf("%v: exit status %d, want %d", s, code, status)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("%v: run does not end", s)
		b.must("delete", "--force", b.id)
		<-ended
	}
}
