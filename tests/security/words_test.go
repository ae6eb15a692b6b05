package security

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// enemy is what a terminal would act on, or take for a line of ours: an escape
// sequence, one that begins with a single C1 character and one with a byte that
// is no UTF-8, a line end with a forged row, a carriage return, an override of
// the order of writing.
const enemy = "\x1b[2J\x1b]0;owned\a\u009b31m\x9b31m\nroot 1 0 0 00:00 ? 00:00:00 /sbin/forged\rhomerun: forged\u202eexe"

// harmless wants text that no terminal acts on, of a few lines.
func harmless(t *testing.T, what, text string, lines int) {
	t.Helper()
	for _, r := range strings.ToValidUTF8(text, "\x9b") {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e') {
			t.Errorf("%s has raw %q: %q", what, r, text)
			return
		}
	}
	if n := strings.Count(text, "\n"); n != lines {
		t.Errorf("%s has %d lines, want %d: %q", what, n, lines, text)
	}
}

// TestForeignWords: what a container calls itself, and says, reaches the user's
// terminal and log only as text. Tried: the command line in both kinds of ps, the
// working directory, the program's name, mount destinations, a hook of the image
// and its complaint, ids, options of the command line.
func TestForeignWords(t *testing.T) { forAll(t, foreignWords) }

func foreignWords(t *testing.T, c caller) {
	b := newBundle(t, c, "sleep", enemy)
	b.save()
	if r := c.homerun(t, "create", "-b", b.dir, b.id()); r.status != 0 {
		t.Fatal(r.stderr)
	}
	defer c.homerun(t, "delete", "--force", b.id())
	if r := c.homerun(t, "start", b.id()); r.status != 0 {
		t.Fatal(r.stderr)
	}
	for _, flags := range [][]string{{}, {"-ww", "-eo", "pid,args"}} {
		r := c.homerun(t, append([]string{"ps", b.id()}, flags...)...)
		if harmless(t, "ps", r.stdout, 2); r.status != 0 || !strings.Contains(r.stdout, "sleep") {
			t.Errorf("ps %q: status %d: %q %q", flags, r.status, r.stdout, r.stderr)
		}
	}
	r := c.homerun(t, "exec", b.id(), "/"+enemy)
	if harmless(t, "exec", r.stderr, 1); r.status != 255 || !strings.Contains(r.stderr, "not found in $PATH") {
		t.Errorf("exec: status %d: %q", r.status, r.stderr)
	}
	foreignFailures(t, c)
}

// logFile is one that the caller can make.
func (c caller) logFile(t *testing.T) string {
	dir := w.path("root")
	if c.user {
		dir = w.path("user")
	}
	log := filepath.Join(dir, "log")
	os.Remove(log)
	t.Cleanup(func() { os.Remove(log) })
	return log
}

// foreignFailures are the errors of a start.
func foreignFailures(t *testing.T, c caller) {
	for what, change := range map[string]func(*bundle){
		"program":   func(b *bundle) { b.spec.Process.Args = []string{"/" + enemy} },
		"directory": func(b *bundle) { b.spec.Process.Cwd = "/inside/" + enemy },
		"mount": func(b *bundle) {
			b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/inside/" + enemy, Type: "tmpfs", Source: "tmpfs"})
		},
		"option": func(b *bundle) {
			b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/x", Type: "tmpfs", Source: "tmpfs", Options: []string{"x" + enemy}})
		},
		"hook": func(b *bundle) {
			b.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/" + enemy}}}
		},
		"complaint": func(b *bundle) {
			complain := filepath.Join(b.dir, "complain")
			if err := os.WriteFile(complain, []byte("#!/bin/sh\nprintf '%s' '"+enemy+"' >&2\nexit 3\n"), 0o755); err != nil {
				b.t.Fatal(err)
			}
			b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: complain}}}
		},
	} {
		b := newBundle(t, c, "ok")
		change(b)
		log := c.logFile(t)
		r := b.run()
		if harmless(t, what, r.stderr, 1); r.status != 1 || !strings.HasPrefix(r.stderr, "homerun: run "+b.id()+": ") || strings.Contains(r.stderr, " more)") {
			t.Errorf("%s: status %d: %q", what, r.status, r.stderr)
		}
		r = c.homerun(t, "--debug", "run", "-b", b.dir, b.id())
		harmless(t, what+" with --debug", r.stderr, strings.Count(r.stderr, "\n"))
		r = c.homerun(t, "--log", log, "run", "-b", b.dir, b.id())
		text, err := os.ReadFile(log)
		if harmless(t, what+" in the log", string(text), 1); err != nil || !strings.Contains(string(text), " error: run ") {
			t.Errorf("%s: the log has %q, %v", what, text, err)
		}
	}
}

// TestSecretsInMessages: an error shows neither the environment, nor a message
// without bounds, wherever it goes. The values are to be had from plan alone, and
// only when asked for. Tried: run, create, start, exec; standard error, --debug,
// the logs; plan as text and JSON; an environment of 4 MB, 65537 groups, a NUL.
func TestSecretsInMessages(t *testing.T) { forAll(t, secretsInMessages) }

const secret = "TOKEN=s3cret"

// discreet wants a message of bounded length without the secret.
func discreet(t *testing.T, what, text string) {
	t.Helper()
	if strings.Contains(text, "s3cret") || len(text) > 8191 {
		t.Errorf("%s has %d bytes: %.300q", what, len(text), text)
	}
}

func secretsInMessages(t *testing.T, c caller) {
	b := newBundle(t, c, "ok")
	b.write("junk", "junk")
	if err := os.Chmod(b.root("junk"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.spec.Process.Args = []string{"/junk"}
	b.spec.Process.Env = []string{secret, "FILL=" + strings.Repeat("x", 100<<10)}
	log := c.logFile(t)
	r := b.run("--debug")
	if discreet(t, "run", r.stderr); r.status != 1 || !strings.Contains(r.stderr, "[3 variables]") {
		t.Errorf("run: status %d: %.500q", r.status, r.stderr)
	}
	for _, format := range []string{"text", "json"} {
		r = b.run("--debug", "--log", log, "--log-format", format)
		text, err := os.ReadFile(log)
		if discreet(t, "the log", string(text)); r.status != 1 || err != nil || !strings.Contains(string(text), "[3 variables]") {
			t.Errorf("the log: status %d, %v: %.500q", r.status, err, text)
		}
	}
	secretsInPlan(t, c, b)
	b.spec.Process.User.AdditionalGids = make([]uint32, 65537)
	for i := range b.spec.Process.User.AdditionalGids {
		b.spec.Process.User.AdditionalGids[i] = uint32(1<<30 + i)
	}
	r = b.run("--debug")
	if discreet(t, "65537 groups", r.stderr); r.status != 1 || !strings.Contains(r.stderr, "[65537 groups]") && !strings.Contains(r.stderr, " and 65529 more;") {
		t.Errorf("65537 groups: status %d: %.500q", r.status, r.stderr)
	}
	b.spec.Process.User.AdditionalGids = nil
	b.spec.Process.Env = []string{secret + "\x00"}
	r = b.run("--debug")
	if discreet(t, "a NUL", r.stderr); r.status != 1 || !strings.Contains(r.stderr, "process.env[0]: contains a NUL byte") {
		t.Errorf("a NUL: status %d: %q", r.status, r.stderr)
	}
}

func secretsInPlan(t *testing.T, c caller, b *bundle) {
	for _, flags := range [][]string{{}, {"--json"}} {
		r := c.homerun(t, append([]string{"plan", "-b", b.dir}, flags...)...)
		if r.status != 0 || strings.Contains(r.stdout, "s3cret") || !strings.Contains(r.stdout, "[3 variables]") {
			t.Errorf("plan %q: status %d, %s: %.300q", flags, r.status, r.stderr, r.stdout)
		}
		if len(flags) > 0 && !json.Valid([]byte(r.stdout)) {
			t.Errorf("plan --json: %.300q", r.stdout)
		}
		r = c.homerun(t, append([]string{"plan", "-b", b.dir, "--values"}, flags...)...)
		if r.status != 0 || !strings.Contains(r.stdout, "s3cret") {
			t.Errorf("plan --values %q: status %d, %s: %.300q", flags, r.status, r.stderr, r.stdout)
		}
	}
}
