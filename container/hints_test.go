package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/fault/faulttest"
	"github.com/homerun-oci/homerun/netns/device"
	"github.com/homerun-oci/homerun/stage"
	"github.com/homerun-oci/homerun/store"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		showDeleted(t, s)
		showBusy(t, s)
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
