package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/rootfs"
	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/compiler"
	"github.com/homerun-oci/homerun/stage"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/systemd/bus"
	"github.com/homerun-oci/homerun/systemd/notify"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Overlay is that of a Request.
type Overlay = rootfs.Overlay

// Request describes a container to make.
type Request struct {
	// ID is the container's name in the state root.
	ID string
	// Bundle holds the checked config and the directory it counts from.
	Bundle *bundle.Bundle
	// Facts are measured when nil.
	Facts *host.Facts
	// Streams are the program's standard streams. With process.terminal the terminal
	// takes their place.
	Streams Streams
	// Files reach the program as its descriptors from 3 on; nil leaves a gap.
	Files []*os.File
	// ConsoleSocket is the path of a UNIX socket that receives the terminal.
	ConsoleSocket string
	// PidfdSocket is the path of a UNIX socket that receives init's pidfd.
	PidfdSocket string
	// PidFile receives init's process id, last of all.
	PidFile string
	// Network connects the container's network namespace while init waits; nil
	// leaves it as it is.
	Network *netns.Connection
	// Listen says which of Files, from the first on, are what a service manager
	// passed to this process, so that the program is told as sd_listen_fds(3) has it.
	Listen host.Listen
	// Subreaper lets Run take the orphans of a container without a PID namespace
	// of its own, and Process.Wait all children of the calling process.
	Subreaper bool
	// Detached says that the caller of Run will not wait for the program: one
	// small process stays beside init until that ends, and records how, for
	// Runtime.Wait and Container.Exit. Process.Wait is an error then, and so is a
	// terminal without ConsoleSocket.
	Detached bool
	// Output has what a detached program writes kept, for Runtime.Logs: what goes to
	// Streams.Out and Streams.Err where these are nil. Nil does not.
	Output *Output
	// EndsWithCaller says that the container's init is killed when the process that
	// called Run ends, however that ends, and by Process.Close: one small process
	// stays beside init, which is a child of the calling process too.
	EndsWithCaller bool
	// Ready says who tells the service manager that the service is ready; empty for
	// ReadyByProgram. For Run.
	Ready Ready
	// Reaper puts an init of homerun's beside the program, which is then its child: it
	// passes signals on to the program, reaps orphans, and ends as the program does.
	Reaper bool
	// RemoveMade removes with the container what had to be made in its root for
	// mounts and the working directory: a root that is somebody's own directory
	// stays as it was.
	RemoveMade bool
	// Here is the path of the current directory, if a bind mount's source is that:
	// the directory is mounted in which the caller is, whoever has its path by then.
	Here string
	// Overlay keeps the root as it is: what the container changes goes to a tmpfs, or
	// to the directory of the Overlay. nil lets it change the root. That nobody else can
	// write in the directory, and that it lies in no other overlay's, is the caller's to see.
	Overlay *Overlay
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

// wishes are what the request asks for beside config.json.
func (r *Request) wishes(c *Container) compile.Wishes {
	return compile.Wishes{ID: r.ID, BundleDir: r.Bundle.Dir, StateDir: c.dir.Path(), Detached: r.Detached, Subreaper: r.Subreaper, EndsWithCaller: r.EndsWithCaller, Reaper: r.Reaper,
		Manager: c.runtime.options.Manager, Output: r.Output.driver(), Network: r.Network, ConsoleSocket: r.ConsoleSocket, PidfdSocket: r.PidfdSocket, PidFile: r.PidFile,
		Preserve: len(r.Files) - r.Listen.Count, NoPivot: r.NoPivot, NoNewKeyring: r.NoNewKeyring, ConfigMade: r.Bundle.Raw == nil,
		RemoveMade: r.RemoveMade, Here: r.Here, Overlay: r.Overlay, Profile: r.Bundle.Seccomp != nil && !mayListen(r.Bundle)}
}

// preparation is a plan whose second part is compiled while the first one runs.
type preparation struct {
	*compile.Beginning
	intent
	starting *starting
	request  *Request
	// prober measures the facts; nil when they are the caller's.
	prober *probe.Prober
	// filter is what was loaded, or filterErr why it was not: before the first part where
	// that depends on it.
	filter    *seccomp.Filter
	filterErr error
	loaded    bool
	// completed: what the second part depends on was measured, or completeErr is why not.
	completed   bool
	completeErr error
	// unfiltered: it cannot be compiled here, and the plan is only looked at.
	unfiltered bool
}

// Plan is a plan that is not run, and what it was compiled from.
type Plan struct {
	Config *specs.Spec
	Facts  *host.Facts
	Result *compile.Result
}

// PlanRun measures and compiles what Run would do, and does nothing of it. The
// facts are the request's, if it has any. Of a seccomp filter that cannot be
// compiled for want of its helper Options.Warn hears, and the plan lacks it.
func (r *Runtime) PlanRun(ctx context.Context, request Request) (*Plan, error) {
	return r.plan(ctx, request, intent{only: true})
}

// PlanCreate is PlanRun for Create and then Start.
func (r *Runtime) PlanCreate(ctx context.Context, request Request) (*Plan, error) {
	return r.plan(ctx, request, intent{create: true, only: true})
}

func (r *Runtime) plan(ctx context.Context, request Request, to intent) (*Plan, error) {
	if request.Bundle == nil || request.Bundle.Config == nil {
		return nil, errNoConfig
	}
	p, err := r.prepare(ctx, &request, to)
	if err != nil {
		return nil, err
	}
	defer p.starting.close()
	result, err := p.finish(ctx)
	return &Plan{p.Beginning.Spec(), request.Facts, result}, err
}

// intent says what a plan is for.
type intent struct {
	// create: init waits for start. only: the plan is not run.
	create, only bool
}

// prepare measures and compiles what the first part of the plan takes. Nothing
// has happened to the host when it returns. Close the result's starting.
func (r *Runtime) prepare(ctx context.Context, request *Request, to intent) (_ *preparation, err error) {
	request.Bundle = withProfile(request.Bundle)
	if request.Bundle, err = withNetwork(request.Bundle, request.Network); err != nil {
		return nil, err
	}
	c, err := r.unmade(request.ID)
	if err != nil {
		return nil, err
	}
	if n := request.Listen.Count; n < 0 || n > len(request.Files) {
		return nil, fmt.Errorf("%d descriptors to listen on are not among %d files", n, len(request.Files))
	}
	p := &preparation{intent: to, starting: c.newStarting(request.Bundle), request: request}
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// launch makes the launch of the plan.
func (p *preparation) launch() {
	s, result := p.starting, p.Beginning.Result()
	s.waits = result.Waits
	s.agent = s.c.agentFor(p.filter, s.bundle, Creating)
	s.launch = launch.New(launch.Options{Result: result, Rest: p.finish, Begun: p.whileBegun, LoadFilter: p.loadFilter, Facts: p.request.Facts,
		Stdio: s.files.stdio(), Files: s.files.rest(), Do: s.do, Debug: s.c.runtime.options.Debug})
	if result.Cgroup.Manager != cgroupv2.Systemd {
		s.cgroup.CloseBus()
	}
}

// begin measures and compiles what the first part of the plan takes, and makes its
// launch. On an error all that it opened is closed.
func (p *preparation) begin(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			p.starting.closeHandles()
		}
	}()
	p.request.Output = p.starting.c.runtime.kept(p.request.Output)
	streams := p.request.Streams
	if p.starting.output, err = p.request.Output.pipes(&streams); err != nil {
		return err
	}
	if p.starting.files, err = openFiles(streams, p.request.Files); err != nil {
		return err
	}
	if p.request.Facts == nil {
		if err := p.measure(ctx); err != nil {
			return err
		}
	}
	if err := p.compile(ctx); err != nil {
		return err
	}
	if err := p.starting.c.describe(p.request, p.Beginning.Result()); err != nil {
		return err
	}
	p.launch()
	return nil
}

// compile compiles the first part of the plan.
func (p *preparation) compile(ctx context.Context) (err error) {
	r, w := p.request, p.wishes()
	if mayListen(r.Bundle) {
		if err := p.load(ctx); err != nil {
			return err
		}
	}
	w.Seccomp = program(p.filter)
	p.Beginning, err = compile.Begin(r.Bundle.Config, r.Facts, w)
	return err
}

// wishes are what the plan is for, beside config.json.
func (p *preparation) wishes() compile.Wishes {
	w := p.request.wishes(p.starting.c)
	w.Create = p.create
	return w
}

// measure measures what the first part of the plan depends on.
func (p *preparation) measure(ctx context.Context) (err error) {
	if p.prober, err = p.starting.c.runtime.prober(p.starting.files.stdio()); err != nil {
		return err
	}
	needs := compile.Needs(p.request.Bundle.Config, p.prober.Facts, p.wishes())
	ctx, cancel := context.WithTimeout(ctx, busLimit)
	defer cancel()
	attempt := askManager(ctx, &needs, p.prober.Facts)
	defer attempt.Close()
	if err := p.prober.Measure(ctx, &needs); err != nil {
		return err
	}
	p.request.Facts = p.prober.Facts
	p.starting.c.runtime.surroundings(p.request, &needs)
	p.starting.cgroup.Bus = serviceManager(ctx, &needs, p.request.Facts, attempt)
	if p.only && p.starting.cgroup.Bus != nil { // nothing else would ask it
		return p.starting.cgroup.Bus.Prove(ctx)
	}
	return nil
}

// complete measures what the second part depends on, once.
func (p *preparation) complete(ctx context.Context) error {
	if p.prober == nil || p.completed {
		return p.completeErr
	}
	p.completed = true
	var needs host.Needs
	if needs, p.completeErr = p.Beginning.Needs(); p.completeErr == nil {
		p.completeErr = p.prober.Measure(ctx, &needs)
	}
	return p.completeErr
}

// load loads the filter, once.
func (p *preparation) load(ctx context.Context) error {
	if !p.loaded {
		p.filter, p.filterErr = p.starting.c.filter(ctx, p.request.Bundle)
		p.loaded = true
	}
	err := p.filterErr
	if p.only && errors.Is(err, compiler.ErrNotInstalled) { // it may be for another machine
		p.starting.c.runtime.warn("the plan lacks the seccomp filter: %v", err)
		p.unfiltered = true
		return nil
	}
	return err
}

// whileBegun measures what the second part takes and nothing of the stage's is needed for. What
// fails, finish says.
func (p *preparation) whileBegun(ctx context.Context) { _ = p.complete(ctx) }

// loadFilter loads the filter meanwhile. What fails, finish says.
func (p *preparation) loadFilter(ctx context.Context) {
	if p.complete(ctx) == nil {
		_ = p.load(ctx)
	}
}

// finish measures and compiles the second part.
func (p *preparation) finish(ctx context.Context) (*compile.Result, error) {
	if err := p.complete(ctx); err != nil {
		return nil, err
	}
	if err := p.load(ctx); err != nil {
		return nil, err
	}
	if p.unfiltered {
		p.Unfilter()
	}
	result, err := p.Finish(program(p.filter))
	if err != nil {
		return nil, err
	}
	c := p.starting.c
	c.runtime.warnOf(result.Warnings)
	c.State.Rootfs, c.State.Steps = p.request.Facts.Rootfs.Path, stage.End(result.Plan)
	return result, nil
}

// surroundings measures whom the container's program reports to, and the files for
// its network.
func (r *Runtime) surroundings(request *Request, needs *host.Needs) {
	f := request.Facts
	f.Listen, f.ServiceManager.Started = request.Listen, r.options.OfUnit
	if r.options.NotifySocket != "" && request.Ready.isPrograms() {
		f.Notify.Socket, f.Notify.Watchdog = r.options.NotifySocket, r.options.Watchdog
		if err := notify.CheckSocket(r.options.NotifySocket); err != nil {
			f.Notify.Trouble = err.Error()
		} else if lacksNotifyMount(request.Bundle) {
			f.Notify.Trouble = "NOTIFY_SOCKET: the root is read-only and has no " + compile.NotifyMount + " for it"
		}
	}
	if len(needs.NetworkFiles) > 0 {
		f.NetworkFiles = networkFiles(rootfsPath(request.Bundle), needs.NetworkFiles)
	}
}

// askManager asks the service manager who it is, if that is needed, and does not wait:
// its answer comes while the rest is measured. It is nil where that depends on the rest.
func askManager(ctx context.Context, needs *host.Needs, f *host.Facts) *bus.Attempt {
	if needs.ServiceManager == "" || needs.OnlyMaybe {
		return nil
	}
	return bus.Begin(ctx, bus.NewPlace(f, os.Getenv))
}

// serviceManager finds the service manager that answers, and which part of the
// cgroup tree the caller may use, as far as they are needed. The connection to the
// service manager, which may have been asked already, stays open for the plan that
// uses it; it is nil without one.
func serviceManager(ctx context.Context, needs *host.Needs, f *host.Facts, asked *bus.Attempt) *bus.Conn {
	if f.Cgroup == nil || !f.Cgroup.Unified || f.Cgroup.ReadOnly {
		return nil
	}
	d := host.Delegation{}
	if needs.Delegation != "" {
		d = host.Delegation(live.ProbeDelegation(*f.Cgroup))
		f.Cgroup.Delegation = &d
	}
	if needs.ServiceManager == "" || needs.OnlyMaybe && d.Maybe == "" {
		return nil
	}
	place := bus.NewPlace(f, os.Getenv)
	f.ServiceManager.System = place.System
	if asked == nil {
		asked = bus.Begin(ctx, place)
	}
	conn, err := asked.Wait(ctx)
	if err == nil {
		if err = conn.CanPlace(); err != nil {
			conn.Close()
		}
	}
	if err != nil {
		f.ServiceManager.Trouble, _, _ = strings.Cut(err.Error(), "\n")
		return nil
	}
	f.ServiceManager.Socket = conn.Socket()
	// A user manager does not mark what it delegates, so it is asked.
	if d.Maybe != "" {
		if yes, err := conn.Delegated(ctx, 0); err == nil && yes {
			f.Cgroup.Delegation.Unit = d.Maybe
		}
	}
	return conn
}

// busLimit is how long all candidates for the service manager may take.
const busLimit = 30 * time.Second

// describe fills what state.json says of the config.
func (c *Container) describe(r *Request, result *compile.Result) (err error) {
	s := r.Bundle.Config
	c.State.Version, c.State.ID = store.StateVersion, c.ID
	c.State.OCIVersion, c.State.Bundle, c.State.Annotations = s.Version, r.Bundle.Dir, s.Annotations
	c.State.Marked = true
	c.State.Created, c.State.UID = time.Now().UTC(), os.Geteuid()
	if c.State.PIDNamespace, err = recorded(proc.PIDNamespace, "pid"); err != nil { // a start without /proc fails later
		return err
	}
	c.State.Namespaces, c.State.Chroot = result.Namespaces, result.Chroot
	c.State.KeepsKeyring, c.State.Foreground = r.NoNewKeyring, r.EndsWithCaller
	c.State.Cgroup.Manager = string(result.Cgroup.Manager)
	if c.runtime.options.Debug != nil {
		c.runtime.options.Debug(result.Cgroup.Reason)
	}
	return nil
}
