package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
)

// requested is what run asks the library for by a command line, and its notes.
func requested(t *testing.T, words ...string) (r *container.Request, notes string, err error) {
	t.Helper()
	o, f, c := &options{logFormat: "text"}, &runFlags{}, &cobra.Command{}
	f.add(o, c, false)
	if err = c.Flags().Parse(words); err != nil {
		return nil, "", err
	}
	if err = f.fit(c.Flags()); err == nil {
		r, err = o.runRequest(f, c.Flags().Args())
	}
	if err == nil {
		err = f.attend(r)
	}
	if err == nil {
		f.rootfs.config = r.Bundle.Config
	}
	return r, strings.Join(f.rootfs.person.notes, "\n"), err
}

// must is requested without an error.
func must(t *testing.T, words ...string) *container.Request {
	t.Helper()
	r, _, err := requested(t, words...)
	if err != nil {
		t.Fatalf("%q: %v", words, err)
	}
	return r
}

// around is the world around a command line: a home, a current directory, an environment.
func around(t *testing.T) (home string) {
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"HOME": home, "LANG": "de_DE.UTF-8", "TERM": "xterm", "https_proxy": "http://proxy:1", "TOKEN": "secret"} {
		t.Setenv(name, value)
	}
	t.Chdir(t.TempDir())
	return home
}

func names(s *specs.Spec) []string {
	var list []string
	for _, e := range s.Process.Env {
		name, _, _ := strings.Cut(e, "=")
		list = append(list, name)
	}
	return list
}

// TestRequest: what the flags of run --rootfs ask for.
func TestRequest(t *testing.T) {
	around(t)
	root := t.TempDir()
	for line, test := range map[string]struct {
		want func(r *container.Request, s *specs.Spec) bool
	}{
		"--rootfs /": {func(_ *container.Request, s *specs.Spec) bool {
			return s.Root.Readonly && s.Hostname == "homerun" && s.Root.Path == "/"
		}},
		"--rootfs / --hostname box": {func(_ *container.Request, s *specs.Spec) bool { return s.Hostname == "box" }},
		"--rootfs / --writable":     {func(_ *container.Request, s *specs.Spec) bool { return !s.Root.Readonly }},
		"--rootfs / --overlay": {func(r *container.Request, s *specs.Spec) bool {
			return !s.Root.Readonly && r.Overlay != nil && r.Overlay.Dir == "" && s.Process.User.UID == 0
		}},
		"--rootfs / --overlay=kept": {func(r *container.Request, _ *specs.Spec) bool {
			return filepath.IsAbs(r.Overlay.Dir) && filepath.Base(r.Overlay.Dir) == "kept"
		}},
		"--rootfs " + root: {func(r *container.Request, s *specs.Spec) bool {
			return !s.Root.Readonly && r.Overlay == nil && r.RemoveMade
		}},
		"--rootfs " + root + " --read-only": {func(_ *container.Request, s *specs.Spec) bool { return s.Root.Readonly }},
		"--rootfs / -d --log-driver none": {func(r *container.Request, _ *specs.Spec) bool {
			return r.Detached && !r.EndsWithCaller && !r.Subreaper && r.Streams.In == nil
		}},
		"--rootfs / -d -i --log-driver none": {func(r *container.Request, _ *specs.Spec) bool { return r.Streams.In != nil }},
		"--rootfs / -i=false":                {func(r *container.Request, _ *specs.Spec) bool { return r.Streams.In == nil }},
		"--rootfs / --no-subreaper": {func(r *container.Request, _ *specs.Spec) bool {
			return !r.Detached && r.EndsWithCaller && !r.Subreaper && r.Streams.In != nil && r.Reaper
		}},
		"--rootfs / --init=false":      {func(r *container.Request, _ *specs.Spec) bool { return !r.Reaper && r.Subreaper }},
		"--rootfs / --pids-limit 1":    {func(r *container.Request, _ *specs.Spec) bool { return !r.Reaper }},
		"--rootfs / --pids-limit 2":    {func(r *container.Request, _ *specs.Spec) bool { return r.Reaper }},
		"--rootfs / --pid host":        {func(r *container.Request, _ *specs.Spec) bool { return !r.Reaper }},
		"--rootfs / --name web":        {func(r *container.Request, _ *specs.Spec) bool { return r.ID == "web" }},
		"--rootfs / --sdnotify conmon": {func(r *container.Request, _ *specs.Spec) bool { return r.Ready == container.ReadyAtStart }},
	} {
		if r := must(t, strings.Split(line+" -- true", " ")...); !test.want(r, r.Bundle.Config) {
			t.Errorf("%s: %+v %+v", line, r, r.Bundle.Config)
		}
	}
	if s := must(t, "--rootfs", "/", "--", "true").Bundle.Config; slices.Contains(names(s), "TOKEN") || !slices.Contains(names(s), "https_proxy") || !slices.Contains(names(s), "LANG") {
		t.Errorf("%q", s.Process.Env)
	}
	if s := must(t, "--rootfs", root, "--as-root", "--", "true").Bundle.Config; slices.Contains(names(s), "LANG") || !slices.Contains(names(s), "TERM") {
		t.Errorf("another system: %q", s.Process.Env)
	}
}

// filterOf is what the seccomp filter says of a call; nobody is asked without one.
func filterOf(s *specs.Spec, call string) string {
	if s.Linux.Seccomp == nil {
		return "none"
	}
	for _, rule := range s.Linux.Seccomp.Syscalls {
		if slices.Contains(rule.Names, call) {
			return string(rule.Action)
		}
	}
	return string(s.Linux.Seccomp.DefaultAction)
}

// TestConfined: there is a filter and no_new_privs unless --security-opt takes them off, of
// which the last one counts; and the filter goes by the capabilities that the flags leave.
func TestConfined(t *testing.T) {
	around(t)
	if err := os.WriteFile("profile", []byte(`{"defaultAction":"SCMP_ACT_KILL"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"":                                       "SCMP_ACT_ERRNO true",
		"--cap-add SYS_ADMIN":                    "SCMP_ACT_ALLOW true",
		"--security-opt seccomp=unconfined":      "none true",
		"--security-opt seccomp=profile":         "SCMP_ACT_KILL true",
		"--security-opt no-new-privileges=false": "SCMP_ACT_ERRNO false",
		"--security-opt no-new-privileges:false": "SCMP_ACT_ERRNO false",
		"--security-opt no-new-privileges":       "SCMP_ACT_ERRNO true",
		"--security-opt no-new-privileges=false --security-opt no-new-privileges:true": "SCMP_ACT_ERRNO true",
		"--security-opt seccomp=unconfined --security-opt seccomp=profile":             "SCMP_ACT_KILL true",
		"--security-opt seccomp=profile --security-opt seccomp=unconfined":             "none true",
		"--security-opt label=disable --security-opt apparmor=unconfined --as-root":    "SCMP_ACT_ERRNO true",
	} {
		s := must(t, append(append([]string{"--rootfs", "/"}, strings.Fields(line)...), "--", "true")...).Bundle.Config
		got := filterOf(s, "sethostname") + " false"
		if s.Process.NoNewPrivileges {
			got = filterOf(s, "sethostname") + " true"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// TestContradictions: flags that cannot be meant together are refused, by name.
func TestContradictions(t *testing.T) {
	around(t)
	for line, want := range map[string]string{
		"--rootfs= -- true":                             "--rootfs is empty",
		"--rootfs / --overlay= -- true":                 "--overlay= is empty",
		"--rootfs / -b web -- true":                     "--bundle and --config have no place",
		"--rootfs / --name= -- true":                    "--name is empty",
		"--rootfs / --replace -- true":                  "--replace needs --name",
		"--rootfs / --rm --keep -- true":                "--rm removes the container",
		"--rootfs / -d -t -- true":                      "-t with -d",
		"--rootfs / --hostname a --uts host -- true":    "--uts host leaves",
		"--rootfs / --read-only --writable -- true":     "--read-only and --writable contradict",
		"--rootfs / --log-driver none -- true":          "--log-driver goes with --detach",
		"--hostname a web":                              "--hostname goes with --rootfs",
		"--rootfs / -d --log-opt max-size=0 -- true":    "--log-opt max-size=0: want",
		"--rootfs / -d --log-driver nosuch -- true":     `unknown --log-driver "nosuch"`,
		"--rootfs / --userns keep-id --as-root -- true": "only your own ids are there",
		"--rootfs / --home rx -- true":                  "--home rx: want ro or rw",
		"--rootfs / --security-opt what -- true":        `--security-opt "what": want`,
	} {
		if _, _, err := requested(t, strings.Split(line, " ")...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

// TestNotes: what a command line gives away is said.
func TestNotes(t *testing.T) {
	home := around(t)
	if err := os.MkdirAll(home+"/.ssh/in", 0o700); err != nil {
		t.Fatal(err)
	}
	for line, test := range map[string]struct{ dir, want string }{
		"--rootfs /":                     {home, ""},
		"--rootfs / --cap-add SYS_ADMIN": {home, "with CAP_SYS_ADMIN the program can unmount"},
		"--rootfs / --cap-add ALL":       {home, "with CAP_SYS_ADMIN the program can unmount"},
		"--rootfs / --here":              {home, "the current directory holds your home"},
		"--rootfs / --here --home ro":    {home, "the current directory holds your home"},
		"--rootfs / --here --read-only":  {home + "/.ssh", "the current directory is one of keys"},
		"--rootfs / --here --cpus 1":     {home + "/.ssh/in", "the current directory is one of keys"},
		"--rootfs / --home rw --cpus 1":  {home, ""},
	} {
		t.Chdir(test.dir)
		_, notes, err := requested(t, strings.Split(line+" -- true", " ")...)
		if err != nil || (notes == "") != (test.want == "") || !strings.Contains(notes, test.want) {
			t.Errorf("%s in %s: %q, %v, want %q", line, test.dir, notes, err, test.want)
		}
	}
	t.Chdir(home)
	s := must(t, "--rootfs", "/", "--here", "--", "true").Bundle.Config
	if !slices.Contains(s.Linux.MaskedPaths, home+"/.ssh") {
		t.Errorf("keys are not covered: %q", s.Linux.MaskedPaths)
	}
}

// TestHomeHoldsState: a program that may write to the home has not homerun's own directories
// with it, and those of a state root that --root names are covered.
func TestHomeHoldsState(t *testing.T) {
	home := around(t)
	if err := os.Mkdir(home+"/state", 0o700); err != nil {
		t.Fatal(err)
	}
	ask := func(words ...string) (*container.Request, error) {
		o, f, c := &options{logFormat: "text", root: home + "/state"}, &runFlags{}, &cobra.Command{}
		f.add(o, c, false)
		if err := c.Flags().Parse(words); err != nil {
			t.Fatal(err)
		}
		return o.runRequest(f, c.Flags().Args())
	}
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir()) // which root does not go by
	holds := filepath.Dir(container.DefaultOptions(os.Getenv).Root)
	for _, access := range []string{"ro", "rw"} {
		t.Setenv("HOME", home)
		r, err := ask("--rootfs", "/", "--home", access, "--", "true")
		if err != nil || !slices.Contains(r.Bundle.Config.Linux.MaskedPaths, home+"/state") {
			t.Errorf("%s: %+v, %v", access, r, err)
		}
		t.Setenv("HOME", holds)
		if _, err := ask("--rootfs", "/", "--home", access, "--", "true"); (err != nil) != (access == "rw") || err != nil && !strings.HasPrefix(err.Error(), "--home rw: it has "+holds+"/homerun in it") {
			t.Errorf("%s: %v", access, err)
		}
	}
	t.Chdir(holds)
	if _, err := ask("--rootfs", "/", "--here", "--", "true"); err == nil || !strings.HasPrefix(err.Error(), "--here in "+holds+": it has "+holds+"/homerun in it") {
		t.Error(err)
	}
}
