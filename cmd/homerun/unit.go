package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/systemd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Theory of operation
//
// unit takes a command line of run's, sees that run would take it, and prints the unit
// that runs it. The flags are passed on as they were typed, one for one, so it needs to
// know only those that mean something else in a unit, and those with a path: run will have
// the directory from which others count, too.

// unitFlags are those of unit: run's, and its own.
type unitFlags struct {
	run             runFlags
	restart, reload string
	socket          bool
	watchdog        int
}

// given is a flag with its value, as it was typed.
type given struct {
	flag  *pflag.Flag
	value string
}

func newUnitCommand(o *options) *cobra.Command {
	f := &unitFlags{}
	c := &cobra.Command{
		Use:   "unit NAME [FLAGS] [--] [COMMAND...]",
		Short: "Print a systemd unit that runs a container",
		Long: "Print a systemd unit that runs `homerun run` in the foreground with the same flags. NAME is the unit's and the container's. " +
			"NAME.socket prints the unit that listens for it (--socket). docs/units.md has more.",
		Example: `  homerun unit web --rootfs / --restart on-failure -- busybox httpd -f -p 8000 >~/.config/systemd/user/web.service
  systemctl --user daemon-reload && systemctl --user start web`,
		RunE: func(c *cobra.Command, args []string) error {
			o.verb = "unit"
			return o.unit(c, f, args)
		},
	}
	f.run.add(o, c, false)
	c.DisableFlagsInUseLine = true
	f.add(c.Flags())
	return c
}

func (f *unitFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.restart, "restart", "no", "when systemd starts it again: no, on-failure, always")
	flags.StringVar(&f.reload, "reload", "HUP", "`SIGNAL` that systemctl reload sends to the program; none")
	flags.IntVar(&f.watchdog, "watchdog", 0, "the program says at least every so many seconds that it is alive, or is started again")
	flags.BoolVar(&f.socket, "socket", false, "NAME.socket listens on the ports of --publish, and the program gets the sockets")
	ready := flags.Lookup(flagReady)
	ready.DefValue, ready.Usage = string(container.ReadyAtStart), ready.Usage+"; container with --watchdog"
	for _, name := range [...]string{"detach", "keep", "dry-run", "log-driver", "log-opt"} {
		flags.Lookup(name).Hidden = true // refused
	}
}

// restarts are the values of --restart: systemd.service(5), "Restart=".
func restarts() []string { return []string{"no", "on-failure", "always"} }

// isOwn reports whether run has no such flag.
func isOwn(name string) bool {
	return slices.Contains([]string{"restart", "reload", "watchdog", "socket"}, name)
}

// unit prints a unit.
func (o *options) unit(c *cobra.Command, f *unitFlags, args []string) error {
	if len(args) == 0 {
		return errors.New("want the unit's name first: homerun unit NAME [FLAGS] [--] [COMMAND...]")
	}
	name, isSocket := strings.CutSuffix(strings.TrimSuffix(args[0], ".service"), ".socket")
	before, err := flagsBefore(c)
	if err != nil {
		return err
	}
	list, err := parseGiven(c, args[1:])
	if errors.Is(err, pflag.ErrHelp) || c.Flags().Changed("help") {
		return c.Help()
	} else if err != nil {
		return o.flagError(c, err)
	}
	u := &unitMaker{options: o, global: c.InheritedFlags(), flags: f, set: c.Flags(), name: name, args: c.Flags().Args(), given: append(before, list...)}
	text, err := u.text(isSocket)
	if err != nil {
		return err
	}
	_, err = fmt.Print(text)
	return err
}

// flagsBefore are those before the unit's name: homerun's own. All others come after it, so
// that the order in which they were typed is known.
func flagsBefore(c *cobra.Command) (list []given, err error) {
	global := c.InheritedFlags()
	c.Flags().Visit(func(g *pflag.Flag) {
		if global.Lookup(g.Name) == nil {
			err = fmt.Errorf("--%s comes after the unit's name: homerun unit NAME [FLAGS]", g.Name)
		}
		list = append(list, given{g, g.Value.String()})
	})
	return list, err
}

// parseGiven sets the flags, and lists them.
func parseGiven(c *cobra.Command, args []string) (list []given, err error) {
	err = c.Flags().ParseAll(args, func(g *pflag.Flag, value string) error {
		list = append(list, given{g, value})
		return c.Flags().Set(g.Name, value)
	})
	return list, err
}

// unitMaker makes a unit of a command line.
type unitMaker struct {
	*options
	flags *unitFlags
	// set are all flags, global those before the verb.
	set, global *pflag.FlagSet
	name        string
	args        []string
	given       []given
}

func (u *unitMaker) text(isSocket bool) (string, error) {
	u.flags.socket = u.flags.socket || isSocket
	network := &u.flags.run.rootfs.network
	ports, err := parseAll(network.ports, netns.ParseForward)
	if err != nil {
		return "", err
	}
	if u.flags.socket {
		network.ports = nil // run has no part in them
	}
	if err := u.check(); err != nil {
		return "", err
	}
	switch {
	case u.flags.socket && len(ports) == 0:
		return "", errors.New("--socket: say by --publish on which ports the socket listens: -p 8080:8080")
	case isSocket:
		return u.socket(ports).Text(), nil
	}
	s, err := u.service()
	if err != nil {
		return "", err
	}
	return s.Text(), nil
}

// check refuses what has no place in a unit, and what run would refuse.
func (u *unitMaker) check() error {
	f := &u.flags.run
	if err := checkUnitName(u.name); err != nil {
		return err
	}
	switch {
	case f.detach:
		return errors.New("--detach: systemd stays with a unit's program, and so does homerun; leave it out")
	case u.manager() == cgroupv2.Systemd:
		return errors.New("--cgroup-manager=systemd: the container's cgroup is that of the unit; leave it out")
	case !slices.Contains(restarts(), u.flags.restart):
		return fmt.Errorf("--restart %q: want no, on-failure or always", u.flags.restart)
	case u.flags.watchdog < 0:
		return fmt.Errorf("--watchdog %d: want seconds", u.flags.watchdog)
	case u.flags.watchdog > 0 && u.set.Changed(flagReady) && f.ready != string(container.ReadyByProgram):
		return errors.New("--watchdog: the program itself says that it is alive, so it says that it is ready, too; leave --sdnotify out")
	}
	if f.rootfs.path != "" && f.rootfs.name == "" && !u.set.Changed("name") {
		f.rootfs.name = u.name
	}
	if err := f.fit(u.set, u.notRuns()...); err != nil {
		return err
	}
	switch {
	case f.keep:
		return errors.New("--keep: the next start of the unit would find the container; leave it out")
	case f.docker.dryRun:
		return errors.New("--dry-run: it would print a config.json at each start; leave it out")
	}
	return u.inFlags(f, u.tryRun(), u.args)
}

// notRuns are flags that the unit is about, also where run has no use for them: with a
// bundle, or where systemd listens.
func (u *unitMaker) notRuns() (list []string) {
	if u.flags.run.rootfs.path == "" {
		list = []string{flagStopTimeout, flagStopSignal}
	}
	if u.flags.socket {
		list = append(list, "publish")
	}
	return list
}

// value is that of a flag, the last one that was typed.
func (u *unitMaker) value(name string) (value string, typed bool) {
	for _, g := range u.given {
		if g.flag.Name == name {
			value, typed = g.value, true
		}
	}
	return value, typed
}

// tryRun sees whether run takes the command line.
func (u *unitMaker) tryRun() error {
	f := &u.flags.run
	args := u.args
	if f.rootfs.path == "" {
		if len(args) > 0 {
			return fmt.Errorf("a bundle has its command in config.json; %q is too much (or --rootfs is missing)", args[0])
		}
		args = []string{u.name}
	}
	r, err := u.runRequest(f, args)
	if err == nil {
		err = f.attend(r)
	}
	if err != nil {
		return err
	}
	_, err = u.runtime()
	return err
}

// checkUnitName wants a name that a unit and a container can have.
func checkUnitName(name string) error {
	for _, c := range []byte(name) {
		if ok := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.", c) >= 0; !ok {
			return fmt.Errorf("invalid name of a unit and a container %q: want letters, digits and any of - . _ only", name)
		}
	}
	if name == "" || strings.HasPrefix(name, ".") || len(name) > 240 {
		return fmt.Errorf("invalid name of a unit and a container %q", name)
	}
	return nil
}

// service describes the service.
func (u *unitMaker) service() (*systemd.Service, error) {
	if u.flags.run.rootfs.path != "" && len(u.args) == 0 {
		return nil, errors.New("want a command after the flags: homerun unit NAME --rootfs DIR [FLAGS] -- COMMAND...; a shell has nobody to talk to in a unit")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find homerun's own path: %w", err)
	}
	cwd, err := u.flags.run.rootfs.directory()
	if err != nil {
		return nil, err
	}
	f := &u.flags.run
	s := &systemd.Service{Description: "homerun container " + u.name, Command: u.command(self, cwd), Directory: cwd, Needed: f.rootfs.here,
		Notifies: u.ready() != container.ReadyIgnored, Restart: u.flags.restart, WatchdogSeconds: u.flags.watchdog, Paths: u.paths(cwd), System: os.Geteuid() == 0}
	if u.flags.socket {
		s.Socket = u.name + ".socket"
	}
	if err := u.ending(s, self, cwd); err != nil {
		return nil, err
	}
	return s, u.writable(s, self)
}

// ending says by which signals the program ends and reads its files anew.
func (u *unitMaker) ending(s *systemd.Service, self, cwd string) error {
	s.StopSeconds = 10
	if text, typed := u.value(flagStopTimeout); typed {
		n, err := stopTimeout(text)
		if err != nil {
			return err
		}
		s.StopSeconds = n
	}
	if text, typed := u.value(flagStopSignal); typed {
		n, err := stopSignal(text)
		if err != nil {
			return err
		}
		s.StopSignal = strconv.Itoa(int(n))
	}
	if u.flags.reload == "none" {
		return nil
	}
	if _, err := container.ParseSignal(u.flags.reload); err != nil {
		return fmt.Errorf("--reload: %w", err)
	}
	s.Reload = [][]string{append(append([]string{self}, u.globals(cwd)...), "kill", u.id, u.flags.reload)}
	return nil
}

// writable refuses what a unit's file cannot say.
func (u *unitMaker) writable(s *systemd.Service, self string) error {
	err := errors.Join(systemd.Writable(self, true), systemd.Writable(s.Directory, true))
	for _, w := range slices.Concat(s.Command...) {
		err = errors.Join(err, systemd.Writable(w, false))
	}
	return err
}

// ready says who tells systemd that the service is ready.
func (u *unitMaker) ready() container.Ready {
	switch {
	case u.set.Changed(flagReady):
		r, _ := parseReady(u.flags.run.ready) // run would take it
		return r
	case u.flags.watchdog > 0:
		return container.ReadyByProgram
	}
	return container.ReadyAtStart
}

// command is the command line of run, one flag on a line.
func (u *unitMaker) command(self, cwd string) [][]string {
	lines := [][]string{append(append([]string{self}, u.globals(cwd)...), "run"), {"--" + flagReady + "=" + string(u.ready())}}
	for _, g := range u.given {
		name := g.flag.Name
		if u.isGlobal(g.flag) || isOwn(name) || name == flagReady || name == "name" || slices.Contains(u.notRuns(), name) {
			continue
		}
		lines = append(lines, []string{asFlag(g, cwd)})
	}
	if u.flags.run.rootfs.path == "" {
		if !u.set.Changed("bundle") {
			lines = append(lines, []string{"--bundle=" + cwd})
		}
		return append(lines, []string{u.id})
	}
	lines = append(lines, []string{"--name=" + u.id})
	if len(u.args) > 0 {
		lines = append(lines, append([]string{"--"}, u.args...))
	}
	return lines
}

// globals are the flags before the verb.
func (u *unitMaker) globals(cwd string) (list []string) {
	for _, g := range u.given {
		if u.isGlobal(g.flag) {
			list = append(list, asFlag(g, cwd))
		}
	}
	return list
}

func (u *unitMaker) isGlobal(g *pflag.Flag) bool { return u.global.Lookup(g.Name) != nil }

// asFlag is a flag in one word, with an absolute path.
func asFlag(g given, cwd string) string {
	if g.flag.NoOptDefVal == g.value && g.value != "" {
		return "--" + g.flag.Name
	}
	return "--" + g.flag.Name + "=" + absolute(g.flag.Name, g.value, cwd)
}

// absolute is the value of a flag, with its path counted from the root. Of those that
// are not known here run counts it from the same directory.
func absolute(name, value, cwd string) string {
	switch name {
	case "volume":
		source, rest, found := strings.Cut(value, ":")
		if found && source != "" && !filepath.IsAbs(source) {
			return filepath.Join(cwd, source) + ":" + rest
		}
	case "bundle", "rootfs", "root", "pid-file", "console-socket", "pidfd-socket", "env-file", "overlay":
		if !filepath.IsAbs(value) {
			return filepath.Join(cwd, value)
		}
	}
	return value
}

// paths are what has to be mounted before.
func (u *unitMaker) paths(cwd string) []string {
	f := &u.flags.run
	if p := f.rootfs.path; p == "" {
		return []string{absolute("bundle", f.create.bundle, cwd)}
	} else if p = absolute("rootfs", p, cwd); p != "/" {
		return []string{p}
	}
	return nil
}

// socket describes the unit that listens.
func (u *unitMaker) socket(ports []netns.Forward) *systemd.Socket {
	s := &systemd.Socket{Description: "sockets of homerun container " + u.name}
	for _, p := range ports {
		for i := range p.Count {
			at := strconv.Itoa(int(p.HostPort + i))
			switch {
			case p.HostIP.Is6():
				at = "[" + p.HostIP.String() + "]:" + at
			case p.HostIP.IsValid():
				at = p.HostIP.String() + ":" + at
			}
			if p.Protocol == netns.UDP {
				s.Datagrams = append(s.Datagrams, at)
			} else {
				s.Streams = append(s.Streams, at)
			}
		}
	}
	return s
}
