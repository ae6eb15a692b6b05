package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/runflags"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// What docker's and podman's flags mean is decided in package runflags, which has no
// effects. Here is what these flags need to know of the host, and those that change no
// config.json.

// dockerFlags are the flags that docker run and podman run have too, and those about what
// a run says.
type dockerFlags struct {
	values runflags.Values
	// interactive leaves the program standard input. A foreground one has it without:
	// pipes go through homerun as through any command.
	interactive, remove, replace, dryRun bool
	interactiveGiven, initGiven          bool // they were typed
	who                                  *specs.User
	// removeLater: somebody has to stay for --rm.
	removeLater bool
}

// dockerValue is a flag of package runflags for pflag.
type dockerValue struct {
	values runflags.Values
	flag   runflags.Flag
}

func (v *dockerValue) String() string { return "" }
func (v *dockerValue) Type() string {
	if v.flag.Kind == runflags.Switch {
		return "bool"
	}
	return v.flag.Value
}
func (v *dockerValue) Set(s string) error {
	v.values[v.flag.Name] = append(v.values[v.flag.Name], s)
	return nil
}

func (d *dockerFlags) add(o *options, flags *pflag.FlagSet) {
	flags.BoolVarP(&d.interactive, "interactive", "i", true, "give the program standard input (the default without -d)")
	flags.BoolVar(&d.remove, "rm", true, "remove the container when its program ends (the default without -d)")
	for _, name := range [...]string{"interactive", "rm"} {
		flags.Lookup(name).DefValue = "" // the help has said it
	}
	flags.BoolVar(&d.replace, "replace", false, "delete the container that has this id first, killing it if it runs")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "print no notes, of ids that are not mapped for one")
	flags.BoolVar(&o.phases.wanted, "timing", false, "say on standard error how long each phase took")
	flags.BoolVar(&d.dryRun, "dry-run", false, withRootfs+"print the config.json that would be used, and run nothing")
	d.values = runflags.Values{}
	for _, f := range runflags.Flags() {
		flag := flags.VarPF(&dockerValue{d.values, f}, f.Name, f.Short, withRootfs+f.Usage)
		if f.Kind == runflags.Switch {
			flag.NoOptDefVal = "true"
		}
	}
}

// fit refuses flags that contradict each other, or say nothing.
func (d *dockerFlags) fit(f *runFlags, flags *pflag.FlagSet) error {
	d.interactiveGiven, d.initGiven = flags.Changed("interactive"), flags.Changed("init")
	removed := flags.Changed("rm") && d.remove
	d.removeLater = removed && f.detach
	for _, c := range []struct {
		wrong bool
		text  string
	}{
		{flags.Changed("rootfs") && f.rootfs.path == "", "--rootfs is empty: want a directory that holds a system, or / for the host's own"},
		{flags.Changed("overlay") && f.rootfs.person.overlay == "", "--overlay= is empty: want a directory that keeps the changes, or --overlay alone for memory"},
		{f.rootfs.path != "" && (flags.Changed("bundle") || flags.Changed("config")), "--rootfs runs without a bundle, so --bundle and --config have no place there: leave one out"},
		{flags.Changed("name") && f.rootfs.name == "", "--name is empty: want the container's id, or leave it out for one that is made up"},
		{d.replace && f.rootfs.path != "" && f.rootfs.name == "", "--replace needs --name: without it each container has an id of its own"},
		{removed && f.keep, "--rm removes the container when its program ends, and --keep keeps it: leave one out"},
		{f.detach && f.rootfs.tty && f.create.consoleSocket == "", "-t with -d gives the program a terminal that nobody has: leave -t out, " +
			"or say --console-socket where somebody takes it"},
		{flags.Changed("hostname") && d.values.Last("uts") == "host", "--uts host leaves the container the host's name, and --hostname gives it another: leave one out"},
		{len(d.values["read-only"]) > 0 && f.rootfs.writable, "--read-only and --writable contradict each other: leave one out"},
	} {
		if c.wrong {
			return errors.New(c.text)
		}
	}
	f.keep = f.keep || !d.remove && flags.Changed("rm")
	return nil
}

// checkValues refuses values of --rootfs that are no mistake to any other parser: an empty
// one, as of a variable that is not set, and a ~ that the shell has left alone.
func (f *runFlags) checkValues(flags *pflag.FlagSet) error {
	if f.rootfs.path == "" {
		return nil
	}
	for _, name := range [...]string{"net", "network", "home", "workdir", "sdnotify", "log-driver", "pid-file", "console-socket"} {
		if flags.Changed(name) && flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("--%s is empty: want a value, or leave it out", name)
		}
	}
	paths := [][2]string{{"rootfs", f.rootfs.path}, {"overlay", f.rootfs.person.overlay}, {"pid-file", f.create.pidFile}}
	for _, file := range f.docker.values["env-file"] {
		paths = append(paths, [2]string{"env-file", file})
	}
	for _, p := range paths {
		if err := runflags.CheckPath(p[0], p[1]); err != nil {
			return err
		}
	}
	if flags.Changed("init") && f.create.reaper && f.docker.values.Last("pids-limit") == "1" {
		return errors.New("--init is a process beside the program, and --pids-limit 1 leaves it none: leave one out")
	}
	if flags.Changed("hostname") {
		return runflags.CheckHostname(f.rootfs.hostname)
	}
	return nil
}

// takesInput reports whether a program of --rootfs gets standard input. One that nobody
// waits for would share it with whoever types next.
func (f *runFlags) takesInput() bool {
	if f.docker.interactiveGiven {
		return f.docker.interactive
	}
	return !f.detach
}

// environment is what --env-file and --env say.
func (d *dockerFlags) environment(env []string) ([]string, error) {
	var files []runflags.EnvFile
	for _, name := range d.values["env-file"] {
		text, err := readInput(name)
		if err != nil {
			return nil, fmt.Errorf("--env-file: %w", err)
		}
		files = append(files, runflags.EnvFile{Name: name, Text: text})
	}
	return runflags.Environment(files, env, os.Environ())
}

// volumes are those of --volume as package spec reads them.
func (d *dockerFlags) volumes(list []string) ([]string, error) {
	var out []string
	for _, text := range list {
		v, relabel, err := runflags.Volume(text)
		if err != nil {
			return nil, err
		}
		if relabel && isThere("/sys/fs/selinux/enforce") {
			return nil, &fault.Error{Place: fmt.Sprintf("--volume %q", text), Why: "homerun changes no SELinux labels: chcon -R -t container_file_t does"}
		}
		out = append(out, v)
	}
	return out, runflags.CheckPlaces(out, d.values)
}

// change applies the flags to a config that is complete without them. root is its root
// directory on the host.
func (d *dockerFlags) change(s *specs.Spec, root string) error {
	if len(d.values) == 0 {
		return nil
	}
	for _, find := range []func(*specs.Spec, string) error{d.findGroups, d.findDevices, d.findHost} {
		if err := find(s, root); err != nil {
			return err
		}
	}
	if d.who != nil {
		umask := s.Process.User.Umask
		s.Process.User = *d.who
		s.Process.User.Umask = umask
	}
	if err := runflags.Apply(s, d.values, runflags.Host{Swap: isThere("/proc/swaps"), Queues: isThere("/dev/mqueue")}); err != nil {
		return err
	}
	return d.setStop(s)
}

func isThere(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// findUser reads --user, and says whether the container needs more ids than the
// caller's: for whoever is somebody else in it, or in groups of its own.
func (d *dockerFlags) findUser(root string) (everybody bool, err error) {
	if d.values["user"] != nil {
		d.who = &specs.User{}
		if err := container.ResolveUserIn(root, d.values.Last("user"), d.who); err != nil {
			return false, fmt.Errorf("--user: %w", err)
		}
		if d.who.UID == uint32(os.Geteuid()) && !strings.Contains(d.values.Last("user"), ":") && root == "/" {
			d.who.GID = uint32(os.Getegid()) // who is not in /etc/passwd has none there
		}
		everybody = d.who.UID != uint32(os.Geteuid()) || d.who.GID != uint32(os.Getegid())
	}
	return everybody || slices.ContainsFunc(d.values["group-add"], func(name string) bool {
		gid, err := container.ResolveGroupIn(root, name)
		return name != runflags.KeepGroups && (err != nil || int(gid) != os.Getegid())
	}), nil
}

// person has the flags of package spec's Person follow from these.
func (d *dockerFlags) person(p *personFlags, root string) error {
	everybody, err := d.findUser(root)
	p.keepID = d.values.Last("userns") == "keep-id"
	switch {
	case err != nil:
		return err
	case p.keepID && (everybody || p.asRoot || p.overlay != ""):
		return &fault.Error{Place: `--userns "keep-id"`, Why: "only your own ids are there then: leave out --as-root, --overlay, and other users and groups"}
	}
	p.asRoot = p.asRoot || everybody
	return nil
}

// findGroups turns names into ids.
func (d *dockerFlags) findGroups(_ *specs.Spec, root string) error {
	for i, name := range d.values["group-add"] {
		if name == runflags.KeepGroups {
			continue
		}
		gid, err := container.ResolveGroupIn(root, name)
		if err != nil {
			return fmt.Errorf("--group-add: %w", err)
		}
		d.values["group-add"][i] = fmt.Sprint(gid)
	}
	return nil
}

// findDevices looks whether they are some: docker takes a directory of them, too.
func (d *dockerFlags) findDevices(*specs.Spec, string) error {
	for _, text := range d.values["device"] {
		source, _, err := runflags.ParseDevice(text)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		why := ""
		switch err := unix.Stat(source, &st); {
		case err != nil:
			why = err.Error()
		case st.Mode&unix.S_IFMT != unix.S_IFCHR && st.Mode&unix.S_IFMT != unix.S_IFBLK && st.Mode&unix.S_IFMT != unix.S_IFDIR:
			why = "it is no device; --volume gives the container a file"
		}
		if why != "" {
			return &fault.Error{Place: fmt.Sprintf("--device %q", text), Why: why}
		}
	}
	return nil
}

// findHost looks who asks to be in the host's user namespace.
func (d *dockerFlags) findHost(*specs.Spec, string) error {
	if d.values.Last("userns") == "host" && os.Geteuid() != 0 {
		return &fault.Error{Place: `--userns "host"`, Why: "only root can make a container without a user namespace of its own: leave it out"}
	}
	return nil
}

const (
	flagStopTimeout = "stop-timeout"
	flagStopSignal  = "stop-signal"
)

// stopSignal reads --stop-signal.
func stopSignal(text string) (unix.Signal, error) {
	n, err := container.ParseStopSignal(text)
	if err != nil {
		return 0, &fault.Error{Place: fmt.Sprintf("--stop-signal %q", text), Why: "want a signal's name or number, as INT"}
	}
	return n, nil
}

// stopTimeout reads --stop-timeout.
func stopTimeout(text string) (seconds int, err error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < -1 {
		return 0, &fault.Error{Place: fmt.Sprintf("--stop-timeout %q", text), Why: "want whole seconds, or -1 to wait for ever"}
	}
	return int(n), nil
}

// setStop says by annotations how `homerun stop` ends the program.
func (d *dockerFlags) setStop(s *specs.Spec) error {
	name, seconds := d.values.Last(flagStopSignal), d.values.Last(flagStopTimeout)
	if d.values[flagStopSignal] != nil {
		if _, err := stopSignal(name); err != nil {
			return err
		}
	}
	if d.values[flagStopTimeout] != nil {
		if _, err := stopTimeout(seconds); err != nil {
			return err
		}
	}
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	for annotation, value := range map[string]string{container.AnnotationStopSignal: name, container.AnnotationStopTimeout: seconds} {
		if value != "" {
			s.Annotations[annotation] = value
		}
	}
	return nil
}

// clear deletes the container that has the id.
func (o *options) clear(ctx context.Context, r *container.Runtime, d *dockerFlags, id string) error {
	if !d.replace {
		return nil
	}
	d.replace = false // what another attempt finds is its own
	if err := r.ForceDelete(ctx, id); err != nil {
		return fmt.Errorf("--replace: %w", err)
	}
	return nil
}

// printConfig is --dry-run. A network is asked for in the words that a bundle has for it.
func (o *options) printConfig(f *runFlags, args []string) error {
	request, err := o.runRequest(f, args)
	if err != nil {
		return err
	}
	s := request.Bundle.Config
	network := request.Network.Network
	switch network.Mode {
	case netns.Join:
		findNamespace(s, specs.NetworkNamespace).Path = network.Path
	case netns.None, netns.Host:
	default:
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[annotationNet] = cmp.Or(f.rootfs.network.net, string(netns.Auto))
		if ports := f.rootfs.network.ports; len(ports) > 0 {
			s.Annotations[annotationPorts] = strings.Join(ports, ",")
		}
	}
	if len(f.rootfs.network.dns) > 0 || len(f.rootfs.network.addHost) > 0 {
		o.note("a config.json has no place for --dns and --add-host")
	}
	if request.Overlay != nil {
		o.note("a config.json has no place for --overlay")
	}
	text, err := container.ConfigText(request.Bundle)
	if err != nil {
		return err
	}
	var indented any
	if err := json.Unmarshal(text, &indented); err != nil {
		return err
	}
	if text, err = json.MarshalIndent(indented, "", "  "); err != nil {
		return err
	}
	return writeText(1, plain.JSON(string(text))+"\n")
}

// phases are the times that --timing prints.
type phases struct {
	wanted bool
	last   time.Time
	text   []string
}

// begin starts the first phase.
func (p *phases) begin() {
	if p.wanted {
		p.last = time.Now()
	}
}

// end ends a phase, and begins the next.
func (p *phases) end(name string) {
	if p.wanted {
		now := time.Now()
		p.text = append(p.text, fmt.Sprintf("%s %.1f ms", name, now.Sub(p.last).Seconds()*1000))
		p.last = now
	}
}

// print comes last, so that it stands below what the program says.
func (p *phases) print() {
	if p.wanted {
		note("timing: %s", strings.Join(p.text, ", "))
	}
}
