package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/runflags"
	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestHomes: a home is a directory that is there and the caller's; / is none, and the same
// one is not listed twice.
func TestHomes(t *testing.T) {
	dir, uid := t.TempDir(), uint32(os.Geteuid())
	for _, c := range []struct {
		home string
		uid  uint32
		want bool
	}{
		{dir, uid, true}, {dir + "/", uid, true}, {dir, uid + 1, false}, {dir + "/none", uid, false}, {"/", uid, false}, {"/etc/passwd", uid, false}, {".", uid, false}, {"", uid, false},
	} {
		t.Setenv("HOME", c.home)
		p := spec.Person{UID: c.uid}
		(&personFlags{}).homes(&p)
		listed := slices.ContainsFunc(p.Homes, func(home string) bool { return home == filepath.Clean(c.home) })
		if listed != c.want || (p.Home == dir) != c.want {
			t.Errorf("HOME=%s of %d: %q, %q", c.home, c.uid, p.Home, p.Homes)
		}
	}
}

// TestKeysOf: a key is found where it really is, also below a directory that cannot be
// listed, and what is not there is none.
func TestKeysOf(t *testing.T) {
	home, elsewhere := t.TempDir(), t.TempDir()
	for _, dir := range []string{home + "/.config/gh", home + "/.local/share/keyrings", elsewhere + "/keys"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(elsewhere+"/keys", home+"/.ssh"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home+"/.local/share", 0o300); err != nil {
		t.Fatal(err)
	}
	want := []string{elsewhere + "/keys", home + "/.config/gh", home + "/.local/share/keyrings"}
	slices.Sort(want)
	got, links := keysOf(home, uint32(os.Getuid()))
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if want := []string{home + "/.ssh"}; !slices.Equal(links, want) {
		t.Errorf("by %q, want %q", links, want)
	}
	if (looks{home: nil}).mayHave(home, "a") != true || (looks{home: {"b"}}).mayHave(home, "a") {
		t.Error("a directory that cannot be read, or one that has other names")
	}
	if !(looks{home: {".SSH"}}).mayHave(home, ".ssh") {
		t.Error("a file system for which letters of both cases are the same")
	}
}

// TestKeysMoved: where variables say that keys are, but for what is not the caller's, has more
// than keys in it, or is shared with the current directory.
func TestKeysMoved(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"home/cfg/gh", "home/cargo", "home/gpg", "elsewhere/kube", "elsewhere/cfg/gh", "elsewhere/far", "project/keys", "home/a:b"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"home/cargo/credentials", "home/k1", "elsewhere/k2"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"gnupg": "gpg", "far": "../elsewhere/far"} {
		if err := os.Symlink(target, dir+"/home/"+link); err != nil {
			t.Fatal(err)
		}
	}
	p := &spec.Person{UID: uint32(os.Getuid()), Homes: []string{dir + "/home"}}
	here := spec.Dir{Real: dir + "/project", Name: dir + "/project"}
	for _, test := range []struct {
		variable, value string
		real, links     string
	}{
		{"XDG_CONFIG_HOME", "/home/cfg", "/home/cfg/gh", ""},
		{"XDG_CONFIG_HOME", "/home/cfg/../cfg/", "/home/cfg/gh", ""},
		{"CARGO_HOME", "/home/cargo", "/home/cargo/credentials", ""},
		{"GNUPGHOME", "/home/gnupg", "/home/gpg", "/home/gnupg"},
		{"KUBECONFIG", "/home/k1:/elsewhere/k2:/none", "/elsewhere/k2 /home/k1", ""},
		{"DOCKER_CONFIG", "/home", "", ""},
		{"DOCKER_CONFIG", "/", "", ""},
		{"DOCKER_CONFIG", "/project", "/project", ""},
		{"XDG_CONFIG_HOME", "/home/far/../cfg", "/elsewhere/cfg/gh", "/home/far"},
		{"GNUPGHOME", "/home/far/../../home/gpg", "/home/gpg", "/home/far"},
		{"GNUPGHOME", "/project/keys", "", ""},
		{"HOME", "/elsewhere/k2", "", ""},
	} {
		prefix := func(list []string) string { return strings.ReplaceAll(strings.Join(list, " "), dir, "") }
		real, links := keysMoved(p, here, func(name string) string {
			if name != test.variable {
				return ""
			}
			return dir + strings.ReplaceAll(test.value, ":", ":"+dir)
		})
		if prefix(real) != test.real || prefix(links) != test.links {
			t.Errorf("%s=%s: %q by %q, want %q by %q", test.variable, test.value, real, links, test.real, test.links)
		}
	}
	t.Chdir(dir + "/home")
	p.Home = dir + "/home"
	for _, test := range []struct{ value, here, real string }{
		{"gpg", "/elsewhere", "/home/gpg"},
		{"../elsewhere/k2:./k1", "", "/elsewhere/k2 /home/k1"},
		{"~/gpg", "", "/home/gpg"},
		{"a:b", "", "/home/a:b"},
		{":", "", ""},
		{".", "", ""},
		{"gpg", "/home/gpg", "/home/gpg"}, // asked for, which a line says
		{"gpg", "/home", "/home/gpg"},     // shared with the home, of which keys are covered
		{"gpg", "", "/home/gpg"},
	} {
		real, _ := keysMoved(p, spec.Dir{Real: dir + test.here}, func(name string) string {
			return map[string]string{"GNUPGHOME": test.value}[name]
		})
		if got := strings.ReplaceAll(strings.Join(real, " "), dir, ""); got != test.real {
			t.Errorf("%s in %s: %q, want %q", test.value, test.here, got, test.real)
		}
	}
	if real, _ := keysMoved(&spec.Person{}, spec.Dir{}, func(string) string { return "/" }); slices.Contains(real, "/") {
		t.Error("the root as a place of keys")
	}
	for _, value := range []string{"keys", "/dev/null", "/etc", ""} {
		if real, _ := keysMoved(&spec.Person{UID: 4711}, here, func(string) string { return value }); len(real) != 0 {
			t.Errorf("%s: %q", value, real)
		}
	}
}

// TestFollowLinks: a path leads where the kernel goes, and each link on the way is named.
func TestFollowLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir+"/a/keys", 0o700); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"a/up": "../to", "to": dir + "/a/./keys/", "loop": "loop", "lost": "a/none"} {
		if err := os.Symlink(target, dir+"/"+link); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]struct {
		real  string
		links []string
		err   error
	}{
		"a/keys": {real: dir + "/a/keys"},
		"a/up":   {real: dir + "/a/keys", links: []string{dir + "/a/up", dir + "/to"}},
		"to/..":  {real: dir + "/a", links: []string{dir + "/to"}},
		"lost":   {real: dir + "/a", links: []string{dir + "/lost"}, err: unix.ENOENT},
		"loop":   {real: dir, links: slices.Repeat([]string{dir + "/loop"}, mostLinks), err: unix.ELOOP},
	} {
		real, links, err := followLinks(dir + "/" + name)
		if real != want.real || !slices.Equal(links, want.links) || !errors.Is(err, want.err) {
			t.Errorf("%s: %q by %q, %v", name, real, links, err)
		}
	}
}

// TestKeysOfFIFO: what a program put where a directory belongs keeps nobody waiting.
func TestKeysOfFIFO(t *testing.T) {
	home, done := t.TempDir(), make(chan []string, 1)
	if err := unix.Mkfifo(home+"/.config", 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		real, _ := keysOf(home, uint32(os.Getuid()))
		done <- real
	}()
	select {
	case got := <-done:
		if len(got) != 0 {
			t.Errorf("%q", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still waits for who writes to the FIFO")
	}
}

// TestPersonRefuses what would be no confinement, or nobody's.
func TestPersonRefuses(t *testing.T) {
	t.Setenv("HOME", "/nonexistent")
	for want, c := range map[string]struct {
		flags personFlags
		here  string
	}{
		"--home rx: want ro or rw": {personFlags{home: "rx"}, ""},
		"--here in /: that is the whole file system; change into the directory that you mean, or use --writable": {personFlags{}, "/"},
	} {
		if c.here != "" {
			t.Chdir(c.here)
		}
		if _, err := c.flags.person("/", c.here); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestGroupsTakeIDs: a group that is the caller's own takes no more ids than his, and any other one does.
func TestGroupsTakeIDs(t *testing.T) {
	own := strconv.Itoa(os.Getegid())
	other := strconv.Itoa(os.Getegid() + 1)
	for _, c := range []struct {
		groups []string
		want   bool
	}{{nil, false}, {[]string{own}, false}, {[]string{runflags.KeepGroups}, false}, {[]string{own, other}, true}, {[]string{"no-such-group"}, true}} {
		d := dockerFlags{values: runflags.Values{"group-add": c.groups}}
		if everybody, err := d.findUser("/"); everybody != c.want || err != nil {
			t.Errorf("%q: %t, %v", c.groups, everybody, err)
		}
	}
}

// TestKeepID: it is not had together with what is somebody else.
func TestKeepID(t *testing.T) {
	d := dockerFlags{values: runflags.Values{"userns": {"keep-id"}}}
	if p := (personFlags{}); d.person(&p, "/") != nil || !p.keepID || p.asRoot {
		t.Errorf("%+v", p)
	}
	for name, p := range map[string]personFlags{"--overlay": {overlay: inMemory}, "--as-root": {asRoot: true}} {
		if err := d.person(&p, "/"); err == nil || !strings.Contains(err.Error(), "only your own ids are there") {
			t.Errorf("%s with keep-id: %v", name, err)
		}
	}
}

// TestWho: on one's own files a user is himself, unless he asks to be root or a system is to
// be changed; root is root, and has everybody's ids only for such a change.
func TestWho(t *testing.T) {
	for _, c := range []struct {
		flags          personFlags
		uid            uint32
		own            bool
		self, everyone bool
	}{
		{personFlags{}, 1000, true, true, false}, {personFlags{}, 1000, false, false, false}, {personFlags{asRoot: true}, 1000, true, false, false},
		{personFlags{overlay: inMemory}, 1000, true, false, false}, {personFlags{}, 0, true, false, false}, {personFlags{overlay: inMemory}, 0, true, false, inFirstNamespace()},
	} {
		p := spec.Person{UID: c.uid}
		if c.flags.who(&p, c.own); p.Self != c.self || p.Everyone != c.everyone {
			t.Errorf("%+v of %d: self %t, everyone %t", c.flags, c.uid, p.Self, p.Everyone)
		}
	}
}

// TestSetStop: how a container is stopped is written where stop reads it.
func TestSetStop(t *testing.T) {
	for _, test := range []struct {
		name, value, annotation, err string
	}{
		{"stop-signal", "INT", "run.homerun.stop-signal", ""},
		{"stop-signal", "0", "", `--stop-signal "0": want a signal's name or number, as INT`},
		{"stop-signal", "", "", `--stop-signal "": want a signal's name or number, as INT`},
		{"stop-timeout", "-1", "run.homerun.stop-timeout", ""},
		{"stop-timeout", "-2", "", `--stop-timeout "-2": want whole seconds, or -1 to wait for ever`},
		{"stop-timeout", "5s", "", `--stop-timeout "5s": want whole seconds, or -1 to wait for ever`},
	} {
		d := dockerFlags{values: runflags.Values{test.name: {"7", test.value}}}
		s, text := &specs.Spec{}, ""
		if err := d.setStop(s); err != nil {
			text = err.Error()
		}
		if text != test.err || test.err == "" && (len(s.Annotations) != 1 || s.Annotations[test.annotation] != test.value) {
			t.Errorf("%s %s: %s, %v", test.name, test.value, text, s.Annotations)
		}
	}
}

// TestCoveredElsewhere: a place of keys that is not in the home is noted, and is the hint where
// it covers the program. The home's own places are no news, by whatever name the home is known.
func TestCoveredElsewhere(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(dir+"/home", 0o700), os.Symlink("home", dir+"/name")); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	r := rootfsFlags{path: "/", config: &specs.Spec{Process: &specs.Process{}}}
	r.person.elsewhere = map[string]string{}
	r.person.noteElsewhere(dir+"/name", []string{dir + "/home/.ssh", dir + "/name/.aws", filepath.Dir(program)}, []string{"LINK"})
	if n := r.person.notes; len(n) != 1 || !strings.Contains(n[0], strconv.Quote(filepath.Dir(program))) || !strings.Contains(n[0], "LINK") {
		t.Errorf("%q", n)
	}
	for name, want := range map[string]bool{"true": true, "no-such-program": false} {
		var e fault.Error
		if r.adviseProgram(&e, []string{name}); strings.Contains(e.Hint, "remove the link") != want {
			t.Errorf("%s: %q", name, e.Hint)
		}
	}
}
