package notify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A root that is writable has a place, and so has one with a mount at or above it,
// or with the directory itself; what is read-only and has none lacks it.
func TestLacksPlace(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(root+"/run/notify", 0o755); err != nil {
		t.Fatal(err)
	}
	mounts := func(list ...string) (mounts []specs.Mount) {
		for _, m := range list {
			mounts = append(mounts, specs.Mount{Destination: m})
		}
		return mounts
	}
	const nowhere = "/tmp/homerun-no-such/place"
	for name, test := range map[string]struct {
		where, root string
		readonly    bool
		mounts      []specs.Mount
		want        bool
	}{
		"the host's, read-only":      {nowhere, "/", true, nil, true},
		"the host's":                 {nowhere, "/", false, nil, false},
		"beside it":                  {nowhere, "/", true, mounts("/tmp/homerun-no", nowhere+"/below"), true},
		"a mount above":              {nowhere, "/", true, mounts("/x", "/tmp/homerun-no-such/"), false},
		"a mount there":              {nowhere, "/", true, mounts("tmp/homerun-no-such/place"), false},
		"a mount over all":           {nowhere, "/", true, mounts("/"), false},
		"it is there":                {"/tmp", "/", true, nil, false},
		"an image's, read-only":      {"/run/none", root, true, nil, false},
		"an image's, with the place": {"/run/notify", root, true, nil, false},
		"an image's, with nothing":   {nowhere, root, true, nil, false},
		"not there":                  {nowhere, root + "/none", true, nil, false},
		"really read-only":           {nowhere, "/proc/self/fdinfo", true, nil, false},
	} {
		if got := LacksPlace(test.where, test.root, test.readonly, test.mounts); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestMakeDirectory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	mask := unix.Umask(0o077)
	err := MakeDirectory(name)
	unix.Umask(mask)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(name); err != nil || st.Mode() != os.ModeDir|0o755 {
		t.Errorf("%v, %v", st, err)
	}
	if err := MakeDirectory(name); !errors.Is(err, unix.EEXIST) || !strings.HasPrefix(err.Error(), "make "+name+": ") {
		t.Error(err)
	}
}

// What is said in the background arrives, also what was left when it is stopped; the
// socket is gone then.
func TestInBackground(t *testing.T) {
	manager, name := listenFake(t)
	dir := t.TempDir()
	relay, err := NewRelay(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	managed := make(chan []string)
	go func() { managed <- hear(manager) }()
	stop := relay.InBackground()
	speak(t, dir, []string{"STATUS=a", "READY=1"})
	time.Sleep(20 * time.Millisecond)
	speak(t, dir, []string{"STATUS=b"})
	if err := stop(); err != nil {
		t.Error(err)
	}
	expect(t, "background", <-managed, []string{"STATUS=a", "READY=1", "STATUS=b", "BARRIER=1"})
	if _, err := os.Lstat(filepath.Join(dir, socketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if _, err := relay.socket.SyscallConn(); err == nil {
		if err := relay.socket.SetDeadline(time.Now()); err == nil {
			t.Error("the socket is open")
		}
	}
}

// A manager that has gone is told of, and neither ends the program nor the wait for it.
func TestTroubleIsTold(t *testing.T) {
	manager, name := listenFake(t)
	dir := t.TempDir()
	relay, err := NewRelay(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	manager.Close()
	speak(t, dir, []string{"READY=1"})
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := relay.UntilReady(ctx, 7, pidfd); err == nil || !strings.Contains(err.Error(), "pass on") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestBoth(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	for want, err := range map[string]error{"a": both(a, nil), "b": both(nil, b), "a; b": both(a, b)} {
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := both(nil, nil); err != nil {
		t.Error(err)
	}
}
