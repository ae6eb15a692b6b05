package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/cmd/homerun/early"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/spec"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// loadBundle reads and checks a bundle's config.
func (o *options) loadBundle(dir, config string) (*bundle.Bundle, error) {
	b, err := bundle.Load(dir, config)
	if err != nil {
		return nil, err
	}
	if len(b.Raw) >= largeConfig {
		collectLate()
	}
	return b, o.checked(b.Check())
}

// largeConfig is the size in bytes of a config.json whose plan may take more than the 4 MB
// after which Go collects for the first time: one of 1000 masked paths has 17 KB.
const largeConfig = 16 << 10

// collectLate puts off Go's collections. The plan of a large config.json is used to its
// end, so they find little, and take memory and threads of their own: with 1000 bind
// mounts, a fourth of the page faults. A run that lives on collects again, see release.
func collectLate() {
	debug.SetMemoryLimit(256 << 20)
	debug.SetGCPercent(-1)
}

// checked passes on what a check found.
func (o *options) checked(warnings []string, err error) error {
	for _, w := range warnings {
		o.warn(w)
	}
	return err
}

// note says on standard error what is neither an error nor a warning. To callers of
// other runtimes that is the container's output: with a bundle only what ends it early
// is said there.
func note(format string, args ...any) {
	say("homerun: " + plain.Short(fmt.Sprintf(format, args...), maxLine) + "\n")
}

// note says what homerun decided without being asked, unless -q wants none of that.
func (o *options) note(text string) {
	if !o.quiet {
		note("%s", text)
	}
}

var errOneID = errors.New("want one argument: the container's id")

// oneID checks that a verb gets one container id, and remembers both.
func (o *options) oneID(verb string) cobra.PositionalArgs { return o.idAnd(verb, 1) }

// idAnd checks that a verb gets a container id and at most so many arguments
// in all.
func (o *options) idAnd(verb string, most int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		o.verb = verb
		if len(args) < 1 || len(args) > most {
			return errOneID
		}
		o.id = args[0]
		return nil
	}
}

// noArgs checks that a verb gets none.
func (o *options) noArgs(verb string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			o.verb = verb
			return fmt.Errorf("unexpected argument %q; see %s --help", args[0], c.CommandPath())
		}
		return nil
	}
}

// runtime makes the library's Runtime from the global flags.
func (o *options) runtime() (*container.Runtime, error) {
	if err := o.checkLog(); err != nil {
		return nil, err
	}
	o.begun = time.Now()
	wanted := container.DefaultOptions(os.Getenv)
	wanted.Manager = o.manager()
	wanted.Helpers.Homerun = "/proc/self/exe"
	wanted.TimerSlack, wanted.OpenFiles = callersSlack(), openFiles()
	wanted.Warn, wanted.Note = o.warn, o.note
	if o.logs(levelDebug) {
		wanted.Debug = o.explain
	}
	if o.root != "" {
		root, err := filepath.Abs(o.root)
		if err != nil {
			return nil, fmt.Errorf("find the current directory, from which --root counts: %w", err)
		}
		wanted.Root = root
	}
	return container.New(wanted)
}

// notOwn refuses a directory of homerun's own, where containers' states and compiled filters
// are, one below it, and one that has them in it, as XDG_RUNTIME_DIR does: a program that may
// write there has all containers in its hand. A state root that --root names may lie in the
// directory; the program does not see it. how is what asks for the directory, instead what
// to do.
func (o *options) notOwn(how, dir, instead string) error {
	usual := container.DefaultOptions(os.Getenv)
	for _, own := range []string{usual.Root, usual.Cache, cmp.Or(o.root, usual.Root)} {
		real, err := realOf(own)
		switch {
		case err != nil:
		case spec.Within(dir, real):
			return fmt.Errorf("%s: %s is homerun's own, which no program may write to; %s", how, own, instead)
		case own != o.root && dir != "/" && spec.Within(real, dir):
			return fmt.Errorf("%s: it has %s in it, which is homerun's own, and no program may write to; %s", how, own, instead)
		}
	}
	return nil
}

// realOf is where a directory really is.
func realOf(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	return realDir(dir).Real, err
}

// ownRoot is the state root that --root names, if a program that has these directories would
// see it.
func (o *options) ownRoot(seen spec.Seen) (list []string) {
	if o.root == "" {
		return nil
	}
	real, err := realOf(o.root)
	if err != nil {
		return nil
	}
	return seen.Covers([]string{real})
}

// manager is --cgroup-manager, or that of --systemd-cgroup, which wins over auto.
func (o *options) manager() container.Manager {
	m := container.Manager(o.cgroupManager)
	if o.systemdCgroup && (m == "" || m == cgroupv2.Auto) {
		return cgroupv2.Systemd
	}
	return m
}

// withRuntime gives a verb the Runtime.
func (o *options) withRuntime(do func(context.Context, *container.Runtime, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if c.Name() != "exec" && c.Name() != "shell" { // which pass it on
			early.Default(unix.SIGQUIT)
		}
		r, err := o.runtime()
		if err != nil {
			return err
		}
		return do(c.Context(), r, args)
	}
}
