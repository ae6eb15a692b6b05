package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/fault"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// newHook is a hook of a bundle of its own.
func newHook(t *testing.T) *Hook {
	t.Helper()
	return &Hook{Action: action.RunHook{Kind: "prestart", Index: 2, Path: "/bin/a\nhook"}, Config: &specs.Hook{}, State: specs.State{ID: "web"},
		Bundle: t.TempDir()}
}

// shell starts a hook that is a shell script in the bundle.
func (h *Hook) shell(script string) Start {
	return func(_ context.Context, stdio [3]int) (int, error) {
		files := []uintptr{uintptr(stdio[0]), uintptr(stdio[1]), uintptr(stdio[2])}
		return syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, &syscall.ProcAttr{Files: files, Env: os.Environ(), Dir: h.Bundle})
	}
}

// reason is what a hook's error says beside the hook.
func reason(err error) string {
	if err == nil {
		return ""
	}
	var h *fault.Error
	if !Failed(err) || !errors.As(err, &h) {
		return "no failure of a hook: " + err.Error()
	}
	return h.Why
}

func TestRun(t *testing.T) {
	for script, want := range map[string]string{
		"exit 0":                             "",
		"cat > state":                        "",
		"exit 3":                             "exit status 3",
		"echo lost; exit 3":                  "exit status 3",
		"echo no disk >&2; exit 130":         "exit status 130: no disk",
		"sleep 20 & echo a >&2; kill -9 $$":  "killed by SIGKILL: a",
		"head -c 9000 /dev/zero >&2; exit 1": "exit status 1: ..." + strings.Repeat(`\x00`, 500),
	} {
		h := newHook(t)
		if got := reason(h.Run(t.Context(), h.shell(script))); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
		if script != "cat > state" {
			continue
		}
		var s specs.State
		text, err := os.ReadFile(filepath.Join(h.Bundle, "state"))
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err != nil || s.ID != "web" {
			t.Errorf("the hook has read %q, %v", text, err)
		}
	}
}

// The error says which hook failed, in one line, and why; who could not be started
// as well.
func TestError(t *testing.T) {
	h := newHook(t)
	err := h.Run(t.Context(), func(context.Context, [3]int) (int, error) { return 0, unix.ENOENT })
	if want := `hook prestart /bin/a\nhook (hooks.prestart[2]): no such file or directory`; err == nil || err.Error() != want || !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v, want %s", err, want)
	}
	if !Failed(fmt.Errorf("wrapped: %w", err)) || Failed(&fault.Error{Cause: unix.ENOENT}) || Failed(nil) {
		t.Error("a hook's failure is not told from another")
	}
}

// A limit of its own, of the caller's, both, and one that is more than can be
// counted in nanoseconds; and one that has passed when the hook has ended well.
func TestTimeout(t *testing.T) {
	one, long, huge, none := 1, 60, int(^uint(0)>>1), 0
	for _, test := range []struct {
		name, script string
		caller       time.Duration
		timeout      *int
		want         string
	}{
		{"its own", "exec sleep 60", time.Hour, &one, "killed after its timeout of 1 s"},
		{"none at all", "exec sleep 60", time.Hour, &none, "killed after its timeout of 0 s"},
		{"the caller's", "exec sleep 60", 50 * time.Millisecond, nil, context.DeadlineExceeded.Error()},
		{"the caller's first", "exec sleep 60", 50 * time.Millisecond, &long, context.DeadlineExceeded.Error()},
		{"in time", "exit 0", time.Hour, &long, ""},
		{"huge", "exit 0", time.Hour, &huge, ""},
		{"its words do not count", "echo a >&2; exec sleep 60", time.Hour, &one, "killed after its timeout of 1 s"},
		{"failed in time", "exit 2", time.Hour, &long, "exit status 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), test.caller)
			defer cancel()
			h := newHook(t)
			h.Config.Timeout = test.timeout
			begun := time.Now()
			if got := reason(h.Run(ctx, h.shell(test.script))); got != test.want || time.Since(begun) > 20*time.Second {
				t.Errorf("%q after %v, want %q", got, time.Since(begun), test.want)
			}
		})
	}
	h, begun := newHook(t), time.Time{}
	h.Config.Timeout = &one
	err := h.Run(t.Context(), func(ctx context.Context, _ [3]int) (int, error) {
		deadline, _ := ctx.Deadline()
		begun = deadline
		return 0, unix.EPERM
	})
	if left := time.Until(begun); !errors.Is(err, unix.EPERM) || left > time.Second || left < 500*time.Millisecond {
		t.Errorf("%v, and %v are left", err, left)
	}
}

// crun's annotations append to files; what cannot be opened is an error, and a FIFO
// that nobody reads too. Nothing stays open.
func TestOutput(t *testing.T) {
	h := newHook(t)
	both := filepath.Join(h.Bundle, "both")
	h.Annotations = map[string]string{Stdout: "both", Stderr: both}
	for range 2 {
		if got, want := reason(h.Run(t.Context(), h.shell("echo out; echo err >&2; exit 3"))), "exit status 3 (what it said is in "+both+")"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if err := h.Run(t.Context(), h.shell("exit 0")); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(both); err != nil || string(text) != "out\nerr\nout\nerr\n" {
		t.Errorf("%q, %v", text, err)
	}
	if st, err := os.Stat(both); err != nil || st.Mode() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if err := unix.Mkfifo(filepath.Join(h.Bundle, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	for _, annotation := range []string{Stdout, Stderr} {
		for _, name := range []string{"/", "no/such", "fifo", "a\nb/c"} {
			h.Annotations = map[string]string{Stdout: "both", annotation: name}
			if fd, _, err := h.output(annotation); fd != -1 || err == nil {
				t.Errorf("%s: %d, %v", name, fd, err)
			}
			got := reason(h.Run(t.Context(), h.shell("exit 0")))
			if !strings.HasPrefix(got, "open its output /") || !strings.Contains(got, "(annotations["+annotation+"]): ") || strings.Contains(got, "\n") {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors, %d before", now, before)
	}
	// One that a hook waits in is the hook's to wait in.
	reader, err := unix.Open(filepath.Join(h.Bundle, "fifo"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(reader)
	h.Annotations = map[string]string{Stdout: "fifo"}
	err = h.Run(t.Context(), func(_ context.Context, stdio [3]int) (int, error) {
		flags, err := unix.FcntlInt(uintptr(stdio[1]), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK != 0 || flags&unix.O_APPEND == 0 {
			t.Errorf("flags %x, %v", flags, err)
		}
		return h.shell("exit 0")(t.Context(), stdio)
	})
	if err != nil {
		t.Error(err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestList(t *testing.T) {
	one := func(name string) []specs.Hook { return []specs.Hook{{Path: name}} }
	all := &specs.Hooks{Prestart: one("prestart"), CreateRuntime: one("createRuntime"), CreateContainer: one("createContainer"), //nolint:staticcheck // deprecated, and still what callers write
		StartContainer: one("startContainer"), Poststart: one("poststart"), Poststop: one("poststop")}
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"} {
		if got := List(all, kind); len(got) != 1 || got[0].Path != kind {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}
