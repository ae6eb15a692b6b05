package main

import (
	"context"
	"os"

	"github.com/homerun-oci/homerun/container"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// createFlags are those that create and run share.
type createFlags struct {
	bundle, config             string
	pidFile                    string
	consoleSocket, pidfdSocket string
	noPivot, noNewKeyring      bool
	noSubreaper, reaper        bool
	preserve                   int
}

func (f *createFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.bundle, "bundle", "b", ".", "directory of config.json")
	flags.StringVarP(&f.config, "config", "f", "", "another name for config.json")
	flags.StringVar(&f.pidFile, "pid-file", "", "file that receives init's process id")
	flags.StringVar(&f.consoleSocket, "console-socket", "", "UNIX socket that receives the terminal")
	flags.StringVar(&f.pidfdSocket, "pidfd-socket", "", "UNIX socket that receives init's pidfd")
	flags.BoolVar(&f.noPivot, "no-pivot", false, "use chroot instead of pivot_root; not safe")
	flags.BoolVar(&f.noNewKeyring, "no-new-keyring", false, "keep the caller's session keyring")
	flags.IntVar(&f.preserve, "preserve-fds", 0, "how many descriptors from 3 on the program gets")
	flags.BoolVar(&f.reaper, "init", false, "have homerun be process 1, pass signals on to the program, and reap orphans (the default with --rootfs)")
	flags.BoolVar(&f.noSubreaper, "no-subreaper", false, "let processes whose parent ends go to the host's init, not to homerun (run without a PID namespace)")
}

// request makes the container's description for a bundle.
func (f *createFlags) request(o *options, id string) (*container.Request, error) {
	b, err := o.loadBundle(f.bundle, f.config)
	if err != nil {
		return nil, err
	}
	r := &container.Request{ID: id, Bundle: b}
	return r, f.fill(o, r)
}

func (f *createFlags) fill(o *options, r *container.Request) error {
	r.Streams = container.OwnStreams()
	r.ConsoleSocket, r.PidfdSocket, r.PidFile = f.consoleSocket, f.pidfdSocket, f.pidFile
	r.NoPivot, r.NoNewKeyring, r.Reaper = f.noPivot, f.noNewKeyring, f.reaper
	if err := checkPreserve(f.preserve); err != nil {
		return err
	}
	r.Listen = listenFDs(os.Getenv)
	r.Files = o.files(r.Listen.Count + f.preserve)
	return nil
}

func newCreateCommand(o *options) *cobra.Command {
	f := &createFlags{}
	c := &cobra.Command{
		Use:   "create [-b BUNDLE] ID",
		Short: "Make a container that waits for start",
		Args:  o.oneID("create"),
		RunE:  func(c *cobra.Command, args []string) error { return o.create(c.Context(), f, args[0]) },
	}
	f.add(c.Flags())
	return c
}

// create ends and clears up when it is told to: conmon passes signals on to it.
func (o *options) create(ctx context.Context, f *createFlags, id string) error {
	dropSIGCHLD()
	start, err := startUnattended(ctx)
	if err != nil {
		return err
	}
	defer start.end()
	r, err := o.runtime()
	if err != nil {
		return err
	}
	request, err := f.request(o, id)
	if err != nil {
		return err
	}
	c, err := r.Create(start, *request)
	if err != nil {
		return o.endedBy(start.cause(), err)
	}
	c.Close() // also when a signal came too late
	return nil
}

func newStartCommand(o *options) *cobra.Command {
	return o.forContainer("start", "Let a created container run its program", (*container.Runtime).Start)
}
