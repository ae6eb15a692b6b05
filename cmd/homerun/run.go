package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// runFlags are those of run.
type runFlags struct {
	create       createFlags
	detach, keep bool
	ready        string
	rootfs       rootfsFlags
	docker       dockerFlags
	output       outputFlags
}

// rootfsFlags are those of run --rootfs.
type rootfsFlags struct {
	path, hostname, cwd, name string
	current                   string // directory, where relative paths begin
	here, writable, tty       bool
	detached                  bool // no terminal unless asked for
	env, volumes              []string
	without, notes            []string    // what the host forbids
	config                    *specs.Spec // the last that was made
	network                   networkFlags
	person                    personFlags
}

func newRunCommand(o *options) *cobra.Command {
	f := &runFlags{}
	c := &cobra.Command{
		Use:                   "run [FLAGS] [-b BUNDLE] ID | run [FLAGS] --rootfs DIR [--] [COMMAND...]",
		Short:                 "Make a container, run its program, and wait for it",
		DisableFlagsInUseLine: true, // they come before the id or the command
		Example: `  homerun run -b ~/bundles/web web
  homerun run --rootfs / -- sh -c 'id; ps'
  homerun run --rootfs / --here -- make test`,
		RunE: func(c *cobra.Command, args []string) error {
			o.verb = "run"
			if err := f.fit(c.Flags()); err != nil {
				return o.withoutBundle(err, f, args)
			}
			if f.docker.dryRun {
				return o.inFlags(f, o.printConfig(f, args), args)
			}
			return o.inFlags(f, o.run(c.Context(), f, args), args)
		},
	}
	f.add(o, c, o.plain)
	return c
}

// add adds the flags; if plain, without those that go with --rootfs.
func (f *runFlags) add(o *options, c *cobra.Command, plain bool) {
	flags := c.Flags()
	flags.SetInterspersed(false)
	f.create.add(flags)
	flags.BoolVarP(&f.detach, "detach", "d", false, "do not wait for the program")
	flags.BoolVar(&f.keep, "keep", false, "keep the container's state when the program ends")
	flags.StringVar(&f.ready, flagReady, "container", "who tells systemd that the service is ready: container, start (homerun, when the program runs), ignore")
	f.output.add(flags)
	if !plain {
		rootfsRunFlags(c, &f.rootfs)
		f.docker.add(o, flags)
		c.SetUsageFunc(runUsage)
	}
}

// withRootfs begins the help of flags that mean nothing without --rootfs.
const withRootfs = "with --rootfs: "

var errWithRootfs = errors.New("goes with --rootfs; a bundle has it in config.json")

// fit refuses flags that would be ignored, but those of somebody else's.
func (f *runFlags) fit(flags *pflag.FlagSet, others ...string) (err error) {
	flags.Visit(func(g *pflag.Flag) {
		if f.rootfs.path == "" && strings.HasPrefix(g.Usage, withRootfs) && !slices.Contains(others, g.Name) {
			err = fmt.Errorf("--%s %w", g.Name, errWithRootfs)
		}
		if !f.detach && strings.HasPrefix(g.Usage, withDetach) {
			err = fmt.Errorf("--%s goes with --detach; otherwise you have the output", g.Name)
		}
	})
	if err == nil {
		err = f.docker.fit(f, flags)
	}
	if err == nil {
		err = f.checkValues(flags)
	}
	return err
}

func rootfsRunFlags(c *cobra.Command, r *rootfsFlags) {
	flags := c.Flags()
	flags.StringVar(&r.path, "rootfs", "", "run in this directory, without a bundle; / is the host's own file system, read-only")
	flags.StringVar(&r.name, "name", "", withRootfs+"the container's id")
	flags.StringVarP(&r.hostname, "hostname", "h", "", withRootfs+"the host name")
	flags.Bool("help", false, "print this") // without -h, which is docker's and podman's --hostname
	flags.StringVarP(&r.cwd, "workdir", "w", "", withRootfs+"the working directory")
	flags.BoolVar(&r.here, "here", false, withRootfs+"have the current directory, writable, at its own path")
	flags.BoolVar(&r.writable, "writable", false, withRootfs+"let the program write to the root")
	flags.BoolVarP(&r.tty, "tty", "t", false, withRootfs+"give the program a terminal (the default on one)")
	flags.VarP((*repeated)(&r.env), "env", "e", withRootfs+"add NAME=VALUE to the environment, or NAME with the value that it has here")
	flags.VarP((*repeated)(&r.volumes), "volume", "v", withRootfs+"bind SOURCE:DESTINATION[:OPTIONS]")
	r.network.add(c)
	r.person.add(c)
}

func (o *options) run(ctx context.Context, f *runFlags, args []string) error {
	signals, err := catchSignals(f.detach)
	if err != nil {
		return err
	}
	begun, started := signals.starting(ctx)
	if f.detach {
		if begun, started, err = o.startDetached(ctx); err != nil {
			return err
		}
	}
	o.phases.begin()
	p, err := o.begin(begun, f, args)
	for err != nil && f.rootfs.leaveOut(err) {
		p, err = o.begin(begun, f, args)
	}
	if err = started(err); err != nil {
		return o.startError(err, signals)
	}
	if f.rootfs.path != "" && !o.quiet {
		for _, n := range slices.Concat(p.Notes, f.rootfs.notes, f.rootfs.person.notes) {
			note("%s", n)
		}
	}
	defer o.phases.print()
	if f.detach {
		p.AwaitReady(ctx)
		if f.rootfs.path != "" && f.rootfs.name == "" { // nobody knows it yet
			_ = writeText(1, o.id+"\n")
		}
		if f.docker.removeLater {
			return o.removeLater(o.id, p.Init())
		}
		return nil
	}
	o.status, err = follow(ctx, p, signals)
	o.phases.end("program")
	if p.OOMKills > 0 {
		note("out of memory (OOM): the kernel killed %d of the container's processes", p.OOMKills)
	}
	switch {
	case err != nil:
		return err
	case f.keep:
		defer p.Close()
		return p.RecordExit()
	}
	defer o.phases.end("removal")
	return p.Delete(ctx)
}

// startError is the error of a start in the foreground, whose status is that of a signal
// that came meanwhile, as of a program that it had ended.
func (o *options) startError(err error, s *signals) error {
	if s == nil {
		return err
	}
	n := s.fatal()
	if n == 0 {
		return err
	}
	o.signaled = n
	if given := (*givenUp)(nil); errors.As(err, &given) {
		return err
	}
	return interrupted(n)
}

// begin makes the container and starts its program.
func (o *options) begin(ctx context.Context, f *runFlags, args []string) (*container.Process, error) {
	request, err := o.runRequest(f, args)
	if err != nil {
		return nil, err
	}
	r, err := o.runtime()
	if err != nil {
		return nil, err
	}
	if err := f.attend(request); err != nil {
		return nil, err
	}
	if o := request.Overlay; o != nil && o.Dir != "" {
		if err := makeChanges(o.Dir); err != nil {
			return nil, fmt.Errorf("--overlay=%s: %w", f.rootfs.person.overlay, err)
		}
	}
	f.rootfs.config = request.Bundle.Config
	if err := o.clear(ctx, r, &f.docker, request.ID); err != nil {
		return nil, err
	}
	o.phases.end("config.json")
	defer o.phases.end("start")
	return r.Run(ctx, *request)
}

// attend says who waits for the program, for its orphans, and for what it writes, and who
// says that it is ready.
func (f *runFlags) attend(r *container.Request) (err error) {
	if r.Ready, err = parseReady(f.ready); err != nil {
		return err
	}
	r.Detached = f.detach
	r.EndsWithCaller = !f.detach
	r.Subreaper = !f.detach && !f.create.noSubreaper
	r.Reaper = r.Reaper || f.rootfs.path != "" && !f.docker.initGiven && takesReaper(r.Bundle.Config)
	if p := r.Bundle.Config.Process; f.detach && (p == nil || !p.Terminal) {
		r.Streams, r.Output, err = f.output.streams(r.Streams, f.rootfs.path == "")
	}
	return err
}

// takesReaper reports whether homerun's own init can be beside the program, which on
// one's own files it is unless --init=false: a program that dies of a signal as programs
// should, by its default action after it has cleaned up, would live on as process 1.
func takesReaper(c *specs.Spec) bool {
	alone := c.Linux.Resources != nil && c.Linux.Resources.Pids != nil && c.Linux.Resources.Pids.Limit != nil && *c.Linux.Resources.Pids.Limit == 1
	return !alone && slices.ContainsFunc(c.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace && n.Path == "" })
}

// runRequest finds the config: a bundle's, or one made for --rootfs.
func (o *options) runRequest(f *runFlags, args []string) (*container.Request, error) {
	if f.rootfs.path != "" {
		f.rootfs.detached = f.detach
		r, err := o.rootfsRequest(f, args)
		if err == nil {
			err = f.create.fill(o, r)
		}
		if err == nil && !f.takesInput() {
			r.Streams.In = nil
		}
		return r, err
	}
	if len(args) != 1 {
		return nil, errOneID
	}
	o.id = args[0]
	r, err := f.create.request(o, o.id)
	if err != nil {
		return nil, err
	}
	return r, o.bundleNetwork(r)
}

// rootfsRequest makes the config for --rootfs.
func (o *options) rootfsRequest(f *runFlags, args []string) (*container.Request, error) {
	r := &f.rootfs
	o.id = r.name
	if o.id == "" {
		o.id = "run-" + strconv.Itoa(os.Getpid())
	}
	cwd, err := r.directory()
	if err != nil {
		return nil, err
	}
	description, err := o.describe(f, cwd, args)
	if err != nil {
		return nil, err
	}
	network, err := r.network.parse()
	if err != nil {
		return nil, err
	}
	network.Notes = r.network.net != "" || o.debug
	description.HostNetwork, description.JoinedNetwork = network.Network.Mode == netns.Host, network.Network.Mode == netns.Join
	s, err := f.config(description)
	if err != nil {
		return nil, err
	}
	request := &container.Request{ID: o.id, Bundle: &bundle.Bundle{Dir: cwd, Config: s}, RemoveMade: true, Here: r.current, Network: network}
	if request.Overlay, err = r.person.requestedOverlay(); err != nil {
		return nil, err
	}
	return request, o.checked(request.Bundle.Check())
}

// describe says what is wanted, and refuses directories that no program may have.
func (o *options) describe(f *runFlags, cwd string, args []string) (d spec.Rootfs, err error) {
	r, seen := &f.rootfs, spec.Seen{}
	if r.here {
		seen.Here = currentDir(cwd)
		if err := o.notOwn("--here in "+seen.Here.Real, seen.Here.Real, "change into another directory"); err != nil {
			return d, err
		}
	}
	if d, err = r.spec(cwd, args, &f.docker); err != nil {
		return d, err
	}
	if r.person.home != "" {
		seen.Home = realDir(d.Person.Home)
	}
	if r.person.home == "rw" {
		if err := o.notOwn("--home rw", seen.Home.Real, "--home ro does not let it"); err != nil {
			return d, err
		}
	}
	d.Person.Keys = append(d.Person.Keys, o.ownRoot(seen)...)
	if d.Env, err = f.docker.environment(r.env); err == nil {
		d.Volumes, err = f.docker.volumes(r.volumes)
	}
	return d, err
}

// config makes the config.json, with what docker's flags change in it.
func (f *runFlags) config(d spec.Rootfs) (*specs.Spec, error) {
	security := d.Security
	d.Security = spec.Security{} // the filter goes by the capabilities, which flags change
	s, err := d.Config()
	if err == nil {
		err = f.docker.change(s, d.Path)
	}
	if err != nil {
		return nil, err
	}
	security.Confine(s)
	if c := s.Process.Capabilities; d.Path == "/" && c != nil && slices.Contains(c.Bounding, "CAP_SYS_ADMIN") {
		person := &f.rootfs.person
		person.notes = append(person.notes, "with CAP_SYS_ADMIN the program can unmount what covers your home, keys, /tmp and /run")
	}
	return s, nil
}

// leaveOut reports whether another attempt without something that the command line
// did not ask for may do better: in a container, or in a unit that confines
// homerun. Which parts are forbidden shows only when they are tried.
func (r *rootfsFlags) leaveOut(err error) bool {
	pointer, errno := refused(err)
	if r.path == "" || r.config == nil || pointer == spec.OptionalHostname && r.hostname != "" {
		return false
	}
	without, text := spec.Optional(r.config, pointer, errno)
	if without == "" || slices.Contains(r.without, without) {
		return false
	}
	r.without, r.notes = append(r.without, without), append(r.notes, text)
	return true
}

// directory is what relative paths count from. One that was deleted is missed only
// where there are such paths.
func (r *rootfsFlags) directory() (string, error) {
	cwd, err := os.Getwd()
	relative := r.here || !filepath.IsAbs(r.path) || slices.ContainsFunc(r.volumes, func(v string) bool { return !filepath.IsAbs(v) })
	switch {
	case err == nil:
		r.current = cwd
		return cwd, nil
	case relative:
		return "", fmt.Errorf("the current directory, from which relative paths and --here count, cannot be found: %w", err)
	}
	return "/", nil
}

func (r *rootfsFlags) spec(cwd string, args []string, d *dockerFlags) (spec.Rootfs, error) {
	path, err := filepath.Abs(r.path)
	if err != nil {
		path = r.path
	}
	if isRoot(path) {
		path = "/"
	}
	s := spec.Rootfs{Path: path, Args: args, Cwd: r.cwd, Hostname: r.hostname,
		Without: r.without, ReadOnly: path == "/" && !r.writable && r.person.overlay == "", Terminal: r.tty || !r.detached && isTerminal(0) && isTerminal(1)}
	if s.Hostname == "" {
		s.Hostname = "homerun"
	}
	if r.here {
		s.Here = cwd
	}
	if err = d.person(&r.person, path); err != nil {
		return s, err
	}
	if s.Person, err = r.person.person(path, s.Here); err == nil {
		s.Security, err = r.person.confinement()
	}
	return s, err
}

// isRoot reports whether a directory is the root of the host, whatever its name is: on
// that a container must not see more by a link to it.
func isRoot(dir string) bool {
	a, err := os.Stat(dir)
	b, rootErr := os.Stat("/")
	return err == nil && rootErr == nil && os.SameFile(a, b)
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}
