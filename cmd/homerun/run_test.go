package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/runflags"
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

// TestOfLimits: what is said of all limits names the flags of the controller that it is
// about, and without one all of them, each once.
func TestOfLimits(t *testing.T) {
	n := int64(1 << 20)
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &n, Swap: &n}, Pids: &specs.LinuxPids{Limit: &n}}
	flagOf := func(place string) string {
		return map[string]string{"linux.resources.memory.limit": "--memory 1m", "linux.resources.memory.swap": "--memory 1m", "linux.resources.pids.limit": "--pids-limit 9"}[place]
	}
	for why, want := range map[string]string{
		"cgroupv2: controller memory is not there":                        "--memory 1m: controller memory is not there",
		"cgroupv2: controller cpu is not there":                           "--memory 1m, --pids-limit 9: controller cpu is not there",
		"cgroupv2: config.json asks for limits, and there are no cgroups": "--memory 1m, --pids-limit 9: there are no cgroups",
	} {
		if got := ofLimits(errors.New(why), r, flagOf); got.Error() != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	untyped := errors.New("cgroupv2: controller memory is not there")
	if got := ofLimits(untyped, r, func(string) string { return "" }); got != untyped {
		t.Error(got)
	}
	if got := (&options{}).inFlags(&runFlags{rootfs: rootfsFlags{path: "/"}}, untyped, nil); got != untyped { // before there is a config
		t.Error(got)
	}
}

// TestFlagInPlace: what is said of a config.json that nobody wrote is said of the flag.
func TestFlagInPlace(t *testing.T) {
	f := &runFlags{rootfs: rootfsFlags{path: "/", config: &specs.Spec{}}}
	f.docker.values = runflags.Values{"memory": {"1"}, "cpus": {"2"}}
	for text, e := range map[string]*fault.Error{
		"died (it may need more than --memory, 1 bytes)": {Why: "died (it may need more than linux.resources.memory.limit, 1 bytes)"},
		"cgroupv2: write (--cpus 2): EINVAL":             {What: "cgroupv2: write", Place: "linux.resources.cpu.quota", Why: "EINVAL"},
	} {
		if got := (&options{}).inFlags(f, e, nil); got.Error() != text {
			t.Errorf("%v, want %s", got, text)
		}
	}
}

// TestPhases: each is counted from the end of the one before.
func TestPhases(t *testing.T) {
	p := &phases{wanted: true}
	p.begin()
	time.Sleep(60 * time.Millisecond)
	p.end("long")
	p.end("short")
	var long, short float64
	if n, err := fmt.Sscanf(strings.Join(p.text, ", "), "long %f ms, short %f ms", &long, &short); n != 2 || err != nil || long < 60 || short >= long {
		t.Errorf("%q: %v", p.text, err)
	}
	p = &phases{}
	p.begin()
	if p.end("long"); len(p.text) > 0 {
		t.Errorf("nobody wants %q", p.text)
	}
}

// TestReplaceOnce: what another attempt of the same run finds is its own, and is not replaced.
func TestReplaceOnce(t *testing.T) {
	r, err := container.New(container.Options{Root: t.TempDir() + "/state"})
	if err != nil {
		t.Fatal(err)
	}
	d := &dockerFlags{replace: true}
	if err := new(options).clear(t.Context(), r, d, "web"); err != nil || d.replace {
		t.Errorf("%v, again %t", err, d.replace)
	}
}
