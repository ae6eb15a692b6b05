package container

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/hook"
	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// newHook makes a container, of which nothing runs, with a hook that is a shell script.
func newHook(t *testing.T, script string) (*Container, *bundle.Bundle, *specs.Hook) {
	t.Helper()
	c, err := made(&Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}, "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, &bundle.Bundle{Dir: t.TempDir(), Config: &specs.Spec{}}, &specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}}
}

func runHook(ctx context.Context, c *Container, b *bundle.Bundle, h *specs.Hook) error {
	b.Config.Hooks = &specs.Hooks{Prestart: []specs.Hook{*h}} //nolint:staticcheck // deprecated, and still what callers write
	return c.runHook(ctx, b, action.RunHook{Kind: "prestart", Path: h.Path, Status: Creating})
}

// TestHookEnvironment: exactly its own, or else that of this process.
func TestHookEnvironment(t *testing.T) {
	t.Setenv("OF_THE_CALLER", "yes")
	for _, test := range []struct {
		name string
		env  []string
		want []string
	}{
		{"absent", nil, os.Environ()},
		{"empty", []string{}, nil},
		{"given", []string{"A=b", "A=c"}, []string{"A=b", "A=c"}},
	} {
		c, b, h := newHook(t, "")
		h.Path, h.Args, h.Env = "/usr/bin/head", []string{"head", "-c", "-0", "/proc/self/environ"}, test.env
		b.Config.Process = &specs.Process{Env: []string{"OF_THE_IMAGE=yes"}}
		b.Config.Annotations = map[string]string{hook.Stdout: "out"}
		if err := runHook(t.Context(), c, b, h); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(b.Dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
		if len(text) == 0 {
			got = nil
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: the hook has %q, want %q", test.name, got, test.want)
		}
	}
}

// TestHookDirectory: the bundle; that it is not there is told from a hook that
// is not.
func TestHookDirectory(t *testing.T) {
	c, b, h := newHook(t, `test "$(pwd -P)" = "$0"`)
	dir, err := filepath.EvalSymlinks(b.Dir)
	if err != nil {
		t.Fatal(err)
	}
	h.Args = append(h.Args, dir)
	if err := runHook(t.Context(), c, b, h); err != nil {
		t.Error(err)
	}
	h.Path = "/no/such/hook"
	if err := runHook(t.Context(), c, b, h); err == nil || err.Error() != "hook prestart /no/such/hook (hooks.prestart[0]): no such file or directory" {
		t.Error(err)
	}
	b.Dir = "/no/such/bundle"
	if err := runHook(t.Context(), c, b, h); err == nil || !strings.HasSuffix(err.Error(), "enter the bundle /no/such/bundle: no such file or directory") {
		t.Error(err)
	}
}

// TestHookState: all of it arrives, however long it is; and who reads none of
// it is not wrong.
func TestHookState(t *testing.T) {
	for script, want := range map[string]int{"exec 1>&-; cat > state": 1 << 20, "exec <&-": -1, "exit 0": -1, "head -c 10 > /dev/null": -1} {
		c, b, h := newHook(t, script)
		c.State.Annotations = map[string]string{"long": strings.Repeat("x", 1<<20)}
		if err := runHook(t.Context(), c, b, h); err != nil {
			t.Errorf("%s: %v", script, err)
		}
		if want < 0 {
			continue
		}
		var s specs.State
		text, err := os.ReadFile(filepath.Join(b.Dir, "state"))
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err != nil || len(s.Annotations["long"]) != want || s.Status != specs.StateCreating {
			t.Errorf("%s: %d bytes: %v", script, len(text), err)
		}
	}
}

// TestHookEnd: the exit status decides, and how long that takes is for the
// hook's process alone to say: not for those that it leaves with its streams, be
// they silent or writing on.
func TestHookEnd(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{"sleep 20 & exit 0", ""},
		{"yes >&2 & exit 0", ""},
		{"sleep 20 & exit 3", "exit status 3"},
		{"sleep 20 & echo no disk >&2; exit 130", "exit status 130: no disk"},
		{"exit 200", "exit status 200"},
		{"kill -KILL $$", "killed by SIGKILL"},
		{"kill -TERM $$", "killed by SIGTERM"},
		{"exec 2>&-; exit 4", "exit status 4"},
		{"exec 2>&-; sleep 0.1; exit 4", "exit status 4"},
	} {
		c, b, h := newHook(t, test.script)
		begin := time.Now()
		err := runHook(t.Context(), c, b, h)
		if got := reason(err); got != test.want {
			t.Errorf("%s: %q, want %q", test.script, got, test.want)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s: took %s", test.script, took)
		}
	}
}

// reason is what a hook's error says beside the hook.
func reason(err error) string {
	if err == nil {
		return ""
	}
	var h *fault.Error
	if !errors.As(err, &h) || !hook.Failed(err) {
		return "not a hook's: " + err.Error()
	}
	return h.Why
}

// TestHookTimeout: a limit of its own, of the caller's, both, and one that is
// more than can be counted in nanoseconds.
func TestHookTimeout(t *testing.T) {
	t.Parallel()
	one, long, huge := 1, 60, int(^uint(0)>>1)
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for _, test := range []struct {
		name    string
		ctx     context.Context
		script  string
		timeout *int
		want    string
	}{
		{"its own", t.Context(), "exec sleep 60", &one, "killed after its timeout of 1 s"},
		{"the caller's", soon, "exec sleep 60", nil, context.DeadlineExceeded.Error()},
		{"the caller's first", soon, "exec sleep 60", &long, context.DeadlineExceeded.Error()},
		{"huge", t.Context(), "exit 0", &huge, ""},
	} {
		c, b, h := newHook(t, test.script)
		h.Timeout = test.timeout
		if got := reason(runHook(test.ctx, c, b, h)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestHookOutput: crun's annotations append to files; what cannot be opened is
// an error, and a FIFO that nobody reads too.
func TestHookOutput(t *testing.T) {
	c, b, h := newHook(t, "echo out; echo err >&2; exit 3")
	b.Config.Annotations = map[string]string{hook.Stdout: "both", hook.Stderr: filepath.Join(b.Dir, "both")}
	for range 2 {
		if got, want := reason(runHook(t.Context(), c, b, h)), "exit status 3 (what it said is in "+b.Dir+"/both)"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if text, err := os.ReadFile(filepath.Join(b.Dir, "both")); err != nil || string(text) != "out\nerr\nout\nerr\n" {
		t.Errorf("%q, %v", text, err)
	}
	for _, name := range []string{"/", "no/such", "fifo"} {
		b.Config.Annotations = map[string]string{hook.Stdout: name}
		if name == "fifo" {
			if err := unix.Mkfifo(filepath.Join(b.Dir, name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := reason(runHook(t.Context(), c, b, h)); !strings.Contains(got, "(annotations["+hook.Stdout+"]): ") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestLastWords: of what a hook has said, the end is in its error.
func TestLastWords(t *testing.T) {
	c, b, h := newHook(t, "head -c 300000 /dev/zero | tr '\\0' a >&2; echo the reason >&2; exit 1")
	if got := reason(runHook(t.Context(), c, b, h)); !strings.HasSuffix(got, "aaathe reason") || len(got) > 600 {
		t.Errorf("%q", got)
	}
}

// TestHooksInside runs containers with hooks of all kinds, of which one may be
// killed, for the race detector: nothing runs on when a hook has ended.
func TestHooksInside(t *testing.T) {
	for _, killed := range []string{"none", "prestart", "createContainer", "startContainer", "poststart"} {
		t.Run(killed, func(t *testing.T) {
			t.Parallel()
			hooksInside(t, killed)
		})
	}
}

func hooksInside(t *testing.T, killed string) {
	config, err := spec.Rootfs{Path: "/", ReadOnly: true, Args: []string{"sleep", "60"}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	config.Linux.Resources = nil
	one := 1
	list := func(kind string) []specs.Hook {
		if kind == killed {
			return []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "60"}, Timeout: &one}}
		}
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat; echo words >&2; sleep 0.1 & exit 0"}}}
	}
	config.Hooks = &specs.Hooks{Prestart: list("prestart"), CreateContainer: list("createContainer"), //nolint:staticcheck // deprecated, and still what callers write
		StartContainer: list("startContainer"), Poststart: list("poststart"), Poststop: list("poststop")}
	r := &Runtime{Options{Root: filepath.Join(t.TempDir(), "state"), Manager: cgroupv2.None, Warn: func(s string) { t.Error(s) }}}
	p, err := r.Run(t.Context(), Request{ID: "c", Bundle: &bundle.Bundle{Dir: t.TempDir(), Config: config}, Streams: OwnStreams()})
	if killed != "none" {
		if got := reason(err); got != "killed after its timeout of 1 s" || !strings.Contains(err.Error(), killed) {
			t.Errorf("%v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context()); err != nil {
		t.Error(err)
	}
}
