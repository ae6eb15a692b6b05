package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestLeaveOut: another attempt is made only without what the command line did not
// ask for, and for each part once.
func TestLeaveOut(t *testing.T) {
	config := &specs.Spec{Hostname: "homerun", Mounts: []specs.Mount{{Destination: "/proc", Type: "proc"}, {Destination: "/data", Type: "bind"}}}
	hostname := &fault.Error{Place: spec.OptionalHostname, Errno: unix.EPERM}
	proc := &fault.Error{Place: "mounts[0]", Errno: unix.EPERM}
	for name, test := range map[string]struct {
		flags rootfsFlags
		err   error
		want  []string
	}{
		"the host name":         {rootfsFlags{path: "/", config: config}, hostname, []string{spec.OptionalHostname}},
		"one that was asked":    {rootfsFlags{path: "/", config: config, hostname: "web"}, hostname, nil},
		"proc, with a name":     {rootfsFlags{path: "/", config: config, hostname: "web"}, proc, []string{"/proc"}},
		"twice":                 {rootfsFlags{path: "/", config: config, without: []string{"/proc"}}, proc, []string{"/proc"}},
		"both":                  {rootfsFlags{path: "/", config: config, without: []string{spec.OptionalHostname}}, proc, []string{spec.OptionalHostname, "/proc"}},
		"a volume":              {rootfsFlags{path: "/", config: config}, &fault.Error{Place: "mounts[1]", Errno: unix.EPERM}, nil},
		"a bundle":              {rootfsFlags{config: config}, hostname, nil},
		"before there was one":  {rootfsFlags{path: "/"}, hostname, nil},
		"an error of no config": {rootfsFlags{path: "/", config: config}, unix.EPERM, nil},
	} {
		before := len(test.flags.without)
		again := test.flags.leaveOut(test.err)
		if !slices.Equal(test.flags.without, test.want) || again != (len(test.want) > before) || len(test.flags.notes) != len(test.want)-before {
			t.Errorf("%s: again %v, without %q, notes %q", name, again, test.flags.without, test.flags.notes)
		}
	}
}

// TestDetachedTerminal: a terminal that nobody would have is refused before there
// is a container.
func TestDetachedTerminal(t *testing.T) {
	dir := t.TempDir()
	text := `{"ociVersion":"1.3.0","root":{"path":"/"},"process":{"terminal":true,"cwd":"/","args":["true"]},"linux":{"namespaces":[{"type":"mount"}]}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &options{root: filepath.Join(dir, "state"), cgroupManager: "disabled", logFormat: "text", verb: "run"}
	_, err := o.begin(t.Context(), &runFlags{detach: true, create: createFlags{bundle: dir, config: "config.json"}}, []string{"web"})
	if err == nil || !strings.Contains(err.Error(), "process.terminal needs a console socket when detached") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(o.root); !os.IsNotExist(err) {
		t.Errorf("the state root was made: %v", err)
	}
}
