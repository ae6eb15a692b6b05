package container

import (
	"context"
	"path/filepath"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
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
	// NoPivot and NoNewKeyring are those of the command line.
	NoPivot, NoNewKeyring bool
}

// prepared is a compiled request.
type prepared struct {
	Request
	facts  *host.Facts
	result *compile.Result
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
	f, err := probe.Measure(probe.Request{Spec: r.Bundle.Config, BundleDir: r.Bundle.Dir, Rootfs: rootfsPath(r.Bundle), Cgroup: true,
		NoPivot: r.NoPivot})
	return &f, err
}

// prepare compiles.
func prepare(r Request, o compile.Options) (*prepared, error) {
	p := &prepared{Request: r, facts: r.Facts}
	if p.facts == nil {
		f, err := r.measure()
		if err != nil {
			return nil, err
		}
		p.facts = f
	}
	o.ID, o.BundleDir, o.Preserve = r.ID, r.Bundle.Dir, r.Preserve
	o.NoPivot, o.NoNewKeyring = r.NoPivot, r.NoNewKeyring
	result, err := compile.Compile(r.Bundle.Config, p.facts, o)
	if err != nil {
		return nil, err
	}
	p.result = result
	return p, nil
}
