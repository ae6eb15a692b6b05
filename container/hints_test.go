package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/fault/faulttest"
	"github.com/homerun-oci/homerun/netns/device"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/stage"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		showDeleted(t, s)
		showBusy(t, s)
		s.Error(heldBy(t, "another", s.Warn))
		if err := heldBy(t, "homerun", s.Warn); err != nil {
			t.Error(err)
		}
		showLocked(t, s)
		if status := wokenAs(t, "homerun", s.Warn); status != 7 {
			t.Errorf("a stopped homerun: status %d", status)
		}
		ended, _, _ := withInit(t, withPIDNamespace, false)
		stopped, err := ended.Peek("web")
		if err != nil {
			t.Fatal(err)
		}
		defer stopped.Close()
		s.Error(stopped.startable())
		r := &Runtime{Options{Root: filepath.Join(t.TempDir(), "root"), Warn: s.Warn, NotifySocket: "nowhere"}}
		c, err := made(r, "web")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s.Error(c.notStopped(Running))
		s.Error(c.lost(errors.New("state.json is missing"), "nothing else says who init is"))
		if r.kept(&Output{}) != nil {
			t.Error("homerun-log is there")
		}
		_, err = c.startLog(Streams{}, nil)
		s.Error(err)
		starting := &starting{c: c}
		s.Error(starting.moveDevices(action.MoveDevices{List: []device.Move{{Host: "eth1"}}}))
		s.Error(starting.explainStart(stage.Record{}))
		config := []byte(`{"ociVersion": "1.3.0", "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}`)
		b, err := bundle.Decode(config)
		if err != nil {
			t.Fatal(err)
		}
		s.Error((&preparation{intent: intent{only: true}, starting: starting, request: &Request{Bundle: b}}).load(t.Context()))
		if err := os.Mkdir(c.dir.FilePath(compile.NotifyDirectory), 0o700); err != nil || c.relay() != nil {
			t.Errorf("a relay to nowhere, %v", err)
		}
		c.State.Rootfs = "/proc" // whose files nobody removes
		proc, err := os.Open("/proc")
		if err != nil {
			t.Fatal(err)
		}
		defer proc.Close()
		c.State.RootfsDevice, c.State.RootfsInode = numbers(int(proc.Fd()))
		s.Error(c.removeMade("/version"))
		c.State.Pid, c.State.PIDNamespace, c.State.Users = os.Getpid(), 1, &store.Users{Inode: 1}
		s.Error(c.here())
		s.Error(c.joinable())
		c.State.Pid = 0
		c.State.Undo = action.Undos{action.UnknownUndo{Kind: "unknown"}}
		s.Error(c.abandon(t.Context(), errors.New("it failed")))
	})
}

// showLocked: the directory of an overlay that another container has.
func showLocked(t *testing.T, s *faulttest.Shown) {
	t.Helper()
	dir := t.TempDir()
	var files [2]*os.File
	for i := range files {
		var err error
		if files[i], err = os.Open(dir); err != nil {
			t.Fatal(err)
		}
		defer files[i].Close()
	}
	if err := awaitLock(t.Context(), int(files[0].Fd()), dir); err != nil {
		t.Fatal(err)
	}
	s.Error(awaitLock(t.Context(), int(files[1].Fd()), dir))
}

// TestWarningsHaveHints: the hint of an error that becomes a warning is not lost.
func TestWarningsHaveHints(t *testing.T) {
	warned := ""
	r := &Runtime{Options{Warn: func(text string) { warned = text }}}
	r.warn("%v; so it goes", fmt.Errorf("a: %w", &fault.Error{What: "b", Hint: "c\nd"}))
	if want := "a: b; so it goes; hint: c; d"; warned != want {
		t.Errorf("%q, want %q", warned, want)
	}
}

// showDeleted deletes containers that are damaged.
func showDeleted(t *testing.T, s *faulttest.Shown) {
	t.Helper()
	for _, config := range []string{"{", `{"ociVersion":"1.3.0","linux":{"intelRdt":{"closID":"a"},"namespaces":[{"type":"pid"}]}}`} {
		r, _, _ := withInit(t, config, config != "{")
		r.options.Warn = s.Warn
		if config != "{" {
			if err := os.WriteFile(filepath.Join(r.options.Root, "web", store.StateFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.Error(r.ForceDelete(t.Context(), "web"))
	}
}

// showBusy deletes a container that is locked, until it says that it waits.
func showBusy(t *testing.T, s *faulttest.Shown) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := &Runtime{Options{Root: filepath.Join(t.TempDir(), "root"), Warn: func(text string) {
		s.Warn(text)
		cancel()
	}}}
	c, err := made(r, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := r.ForceDelete(ctx, "web"); !errors.Is(err, context.Canceled) {
		t.Errorf("a container that is locked: %v", err)
	}
}

// heldBy deletes a container that a program of this name has locked, which has been stopped.
func heldBy(t *testing.T, name string, warn func(string)) error {
	t.Helper()
	r := &Runtime{Options{Root: filepath.Join(t.TempDir(), "root"), Warn: warn}}
	c, err := made(r, "web")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	holder := exec.CommandContext(t.Context(), programAs(t, "flock", name), "-o", c.Directory(), "sh", "-c", "kill -STOP $PPID; echo; read x")
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = holder.Process.Signal(unix.SIGCONT)
		in.Close()
		_ = holder.Wait()
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return r.ForceDelete(t.Context(), "web")
}

// programAs is a copy of a program by another name.
func programAs(t *testing.T, program, name string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err == nil {
		path = filepath.Join(t.TempDir(), name)
		err = os.WriteFile(path, text, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// wokenAs has a program of this name go on that has been stopped, and has a child to take; it returns the status by
// which that one ends, -1 for one that had to be killed.
func wokenAs(t *testing.T, name string, warn func(string)) int {
	t.Helper()
	parent := exec.CommandContext(t.Context(), programAs(t, "sh", name), "-c", "sleep 0.1 & echo $!; kill -STOP $$; exit 7")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	child := 0
	if _, err := fmt.Fscan(out, &child); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(time.Millisecond) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if bytes.Contains(text, []byte(") Z ")) && proc.Stopped(parent.Process.Pid) {
			break
		}
	}
	c := &Container{ID: "web", runtime: &Runtime{Options{Warn: warn}}}
	c.wakeParent(child)
	if proc.Stopped(parent.Process.Pid) {
		_ = parent.Process.Kill()
	}
	_ = parent.Wait()
	return parent.ProcessState.ExitCode()
}

// TestWaker: a homerun that has been stopped goes on, to take its child in the container, and no other program does.
func TestWaker(t *testing.T) {
	warned := ""
	warn := func(text string) { warned += text + "\n" }
	if status := wokenAs(t, "another", warn); status != -1 || warned != "" {
		t.Errorf("another program: status %d, %s", status, warned)
	}
	want := `^container "web": another homerun, process \d+, has a process in it to take, and has been stopped: it is sent SIGCONT\n$`
	if status := wokenAs(t, "homerun", warn); status != 7 || !regexp.MustCompile(want).MatchString(warned) {
		t.Errorf("homerun: status %d, %s", status, warned)
	}
}

// TestUnlockedMeanwhile: who had a container locked may come to its end before it is looked for.
func TestUnlockedMeanwhile(t *testing.T) {
	r := planted(t)
	d, err := r.openByEnding(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if _, err := r.openByEnding(t.Context(), "gone"); !errors.Is(err, store.ErrNotExist) {
		t.Error(err)
	}
}

// TestLockedAndStopped: delete --force ends in bounded time. It ends a homerun that has been stopped, and says so, and
// no program that it does not know.
func TestLockedAndStopped(t *testing.T) {
	warned := ""
	warn := func(text string) { warned += text + "\n" }
	begun := time.Now()
	err := heldBy(t, "another", warn)
	if want := `^cannot remove container "web": process \d+ \("another"\), which is not homerun, has it locked$`; err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
		t.Error(err)
	}
	if err := heldBy(t, "homerun", warn); err != nil {
		t.Error(err)
	}
	if want := `^container "web": another homerun, process \d+, has it locked, and has been stopped: it is sent SIGTERM\n$`; !regexp.MustCompile(want).MatchString(warned) {
		t.Error(warned)
	}
	if took := time.Since(begun); took > endLimit {
		t.Error("after", took)
	}
}
