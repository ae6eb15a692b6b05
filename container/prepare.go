package container

import (
	"context"
	"path/filepath"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/stage"
)

// Request describes a container to make.
type Request struct {
	// ID is the container's name in the state root.
	ID string
	// Bundle holds the checked config and the directory it counts from.
	Bundle *bundle.Bundle
	// Facts are measured when nil.
	Facts *host.Facts
	// Stdio are the descriptors of the program's standard streams. With
	// process.terminal the terminal takes their place.
	Stdio [3]int
	// Preserve is how many descriptors from 3 on reach the program; a missing
	// one leaves a gap.
	Preserve int
	// ConsoleSocket is the path of a UNIX socket that receives the terminal.
	ConsoleSocket string
	// PidfdSocket is the path of a UNIX socket that receives init's pidfd.
	PidfdSocket string
	// PidFile receives init's process id, last of all.
	PidFile string
	// Prepare, when set, is called once the container's directory exists and
	// before the facts are measured; it may add to the config.
	Prepare func(c *Container) error
	// Network, when set, connects the container's network namespace while init
	// waits.
	Network func(ctx context.Context, c *Container, pid int) error
	// Subreaper lets Run take the orphans of a container without a PID namespace
	// of its own, and Process.Wait all children of the calling process.
	Subreaper bool
	// Detached says that the caller of Run will not wait for the program: one
	// small process stays beside init until that ends, and records how, for
	// Runtime.Wait and Container.Exit. Process.Wait is an error then.
	Detached bool
	// RemoveMade removes with the container what had to be made in its root for
	// mounts and the working directory: a root that is somebody's own directory
	// stays as it was.
	RemoveMade bool
	// NoPivot and NoNewKeyring are those of the command line.
	NoPivot, NoNewKeyring bool
}

// rootfsPath is the absolute path of the bundle's root.
func rootfsPath(b *bundle.Bundle) string {
	p := ""
	if b.Config.Root != nil {
		p = b.Config.Root.Path
	}
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(b.Dir, p)
}

// Facts measures what a plan for the bundle depends on.
func Facts(b *bundle.Bundle) (*host.Facts, error) {
	return (&Request{Bundle: b}).measure()
}

// measure is Facts for a request.
func (r *Request) measure() (*host.Facts, error) {
	f, err := probe.Measure(r.probe())
	return &f, err
}

func (r *Request) probe() probe.Request {
	return probe.Request{Spec: r.Bundle.Config, BundleDir: r.Bundle.Dir, Rootfs: rootfsPath(r.Bundle), Cgroup: true, NoPivot: r.NoPivot}
}

// options sets those that come from the request alone.
func (r *Request) options(o *compile.Options) {
	o.ID, o.BundleDir, o.Preserve = r.ID, r.Bundle.Dir, r.Preserve
	o.NoPivot, o.NoNewKeyring, o.ConsoleSocket = r.NoPivot, r.NoNewKeyring, r.ConsoleSocket != ""
}

// unfinished is a plan whose second part is compiled while the first one runs.
type unfinished struct {
	*compile.Beginning
	container *Container
	request   *Request
	// measure completes the facts; nil when they are complete.
	measure func()
	// filter is loaded early when the first part depends on it.
	filter *seccomp.Filter
	loaded bool
}

// unfinished measures and loads what the first part of the plan depends on.
func (c *Container) unfinished(r *Request) (u *unfinished, err error) {
	u = &unfinished{container: c, request: r}
	if r.Facts == nil {
		if r.Facts, u.measure, err = probe.Begin(r.probe()); err != nil {
			return nil, err
		}
		if compile.NeedsAll(r.Bundle.Config) {
			u.complete()
		}
	}
	lookAtStreams(r.Facts, r.Bundle.Config, r.Stdio)
	if mayListen(r.Bundle) {
		err = u.load()
	}
	return u, err
}

// complete measures what is not measured yet.
func (u *unfinished) complete() {
	if u.measure != nil {
		u.measure()
		u.measure = nil
	}
}

// load loads the filter, once.
func (u *unfinished) load() (err error) {
	if !u.loaded {
		u.filter, err = u.container.filter(u.request.Bundle)
		u.loaded = true
	}
	return err
}

// finish measures and compiles the second part.
func (u *unfinished) finish() (*compile.Result, error) {
	u.complete()
	if err := u.load(); err != nil {
		return nil, err
	}
	result, err := u.Finish(program(u.filter))
	if err != nil {
		return nil, err
	}
	if u.request.RemoveMade {
		if err := u.container.willRemoveMade(u.request.Facts); err != nil {
			return nil, err
		}
	}
	for _, w := range result.Warnings {
		u.container.runtime.warn("%s", w)
	}
	u.container.State.Rootfs, u.container.State.Steps = u.request.Facts.Rootfs.Path, stage.End(result.Plan)
	return result, nil
}
