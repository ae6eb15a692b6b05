package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/runflags"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
)

// execFlags are those of exec.
type execFlags struct {
	process, cwd, user, label, apparmor, cgroup string
	pidFile, consoleSocket, pidfdSocket         string
	env, caps                                   []string
	gids                                        []uint
	tty, detach, noNewPrivs, ignorePaused       bool
	interactive                                 bool
	preserve                                    int
	shells                                      []string
}

func newExecCommand(o *options) *cobra.Command {
	f := &execFlags{}
	c := &cobra.Command{
		Use:   "exec [flags] ID COMMAND... | exec -p process.json ID",
		Short: "Start a process in a running container",
		Args:  o.idAnd("exec", 1<<20),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			return o.exec(ctx, r, f, args)
		}),
	}
	flags := c.Flags()
	flags.SetInterspersed(false)
	flags.StringVarP(&f.process, "process", "p", "", "file with the process as config.json has it")
	flags.StringVarP(&f.cwd, "cwd", "w", "", "working directory")
	flags.StringVar(&f.cwd, "workdir", "", "the same as --cwd")
	flags.StringVarP(&f.user, "user", "u", "", "user: UID[:GID], or names of the container's")
	flags.UintSliceVarP(&f.gids, "additional-gids", "g", nil, "supplementary groups")
	flags.VarP((*repeated)(&f.env), "env", "e", "add NAME=VALUE to the environment, or NAME with the value that it has here")
	flags.VarP((*repeated)(&f.caps), "cap", "c", "add a capability")
	flags.BoolVarP(&f.interactive, "interactive", "i", true, "leave it standard input (the default)")
	flags.Lookup("interactive").DefValue = "" // the help has said it
	flags.BoolVarP(&f.tty, "tty", "t", false, "give it a terminal")
	flags.BoolVarP(&f.detach, "detach", "d", false, "do not wait for it")
	flags.BoolVar(&f.noNewPrivs, "no-new-privs", false, "set no_new_privs")
	flags.StringVar(&f.label, "process-label", "", "SELinux label")
	flags.StringVar(&f.apparmor, "apparmor", "", "AppArmor profile")
	flags.StringVar(&f.cgroup, "cgroup", "", "a cgroup below the container's")
	flags.BoolVar(&f.ignorePaused, "ignore-paused", false, "start it in a paused container too")
	flags.StringVar(&f.pidFile, "pid-file", "", "file that receives the process id")
	flags.StringVar(&f.consoleSocket, "console-socket", "", "UNIX socket that receives the terminal")
	flags.StringVar(&f.pidfdSocket, "pidfd-socket", "", "UNIX socket that receives the pidfd")
	flags.IntVar(&f.preserve, "preserve-fds", 0, "how many descriptors from 3 on it gets")
	return c
}

func (o *options) exec(ctx context.Context, r *container.Runtime, f *execFlags, args []string) error {
	c, err := r.Peek(args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	request, err := f.request(o, c, args[1:])
	if err != nil {
		return err
	}
	signals, err := catchSignals(f.detach)
	if err != nil {
		return err
	}
	ctx, started := signals.starting(ctx)
	p, err := f.start(ctx, c, request)
	if err = f.inFlags(started(err)); err != nil || f.detach {
		return err
	}
	o.logWarnings()
	defer p.Close()
	o.status, err = follow(ctx, p, signals)
	return err
}

// typed reports whether a person or a script has typed the verb, who expect that a process
// in the foreground ends with it. Engines name one of these, and find the process again.
func (f *execFlags) typed() bool {
	return f.process == "" && f.pidFile == "" && f.consoleSocket == "" && f.pidfdSocket == ""
}

// request describes the process with its command.
func (f *execFlags) request(o *options, c *container.Container, args []string) (*container.ExecRequest, error) {
	process, err := f.load(o, c, args)
	if err == nil {
		err = checkPreserve(f.preserve)
	}
	if err != nil {
		return nil, err
	}
	streams := container.OwnStreams()
	if !f.interactive {
		streams.In = nil
	}
	return &container.ExecRequest{
		Process: process, Streams: streams, Files: o.files(f.preserve), ConsoleSocket: f.consoleSocket,
		PidfdSocket: f.pidfdSocket, PidFile: f.pidFile, Cgroup: f.cgroup, IgnorePaused: f.ignorePaused, Detached: f.detach, EndsWithCaller: f.typed(),
	}, nil
}

// load makes the process: from the file, or from config.json's with what the
// command line changes.
func (f *execFlags) load(o *options, c *container.Container, args []string) (*specs.Process, error) {
	var process *specs.Process
	if f.process != "" {
		text, err := readInput(f.process)
		if err != nil {
			return nil, err
		}
		if process, err = bundle.DecodeProcess(text); err != nil {
			return nil, fmt.Errorf("%s: %w", f.process, err)
		}
	} else {
		var err error
		if process, err = c.Process(); err != nil {
			return nil, err
		}
		process.Terminal = false
		if len(args) > 0 && args[0] == "--" {
			args = args[1:]
		}
		if len(args) == 0 {
			return nil, fmt.Errorf("want a command, or --process")
		}
		process.Args = args
	}
	if err := f.change(c, process); err != nil {
		return nil, err
	}
	return process, f.inFlags(o.checked(bundle.CheckProcess(process)))
}

// inFlags has an error speak of the flag in place of what it sets.
func (f *execFlags) inFlags(err error) error {
	var list bundle.Errors
	var one *fault.Error
	switch {
	case err == nil || f.process != "":
	case errors.As(err, &list):
		return each(list, f.inFlag)
	case errors.As(err, &one) && err.Error() == one.Error():
		return f.inFlag(one)
	}
	return err
}

// inFlag is a copy of an error that names the flag.
func (f *execFlags) inFlag(e *fault.Error) *fault.Error {
	c := *e
	switch place := strings.TrimPrefix(e.Place, "process."); {
	case within(place, "user") && f.user != "":
		c.Place = "--user " + f.user
	case within(place, "cwd") && f.cwd != "":
		c.Place = "--workdir " + f.cwd
	}
	return &c
}

// change applies the flags.
func (f *execFlags) change(c *container.Container, p *specs.Process) error {
	p.Terminal = p.Terminal || f.tty
	p.NoNewPrivileges = p.NoNewPrivileges || f.noNewPrivs
	if f.cwd != "" {
		p.Cwd = f.cwd
	}
	if f.label != "" {
		p.SelinuxLabel = f.label
	}
	if f.apparmor != "" {
		p.ApparmorProfile = f.apparmor
	}
	env, err := runflags.Environment(nil, f.env, os.Environ())
	if err != nil {
		return err
	}
	p.Env = append(p.Env[:len(p.Env):len(p.Env)], env...)
	if f.user != "" {
		if err := c.ResolveUser(f.user, &p.User); err != nil {
			return fmt.Errorf("--user: %w", err)
		}
	}
	for _, g := range f.gids {
		if g > math.MaxInt32 {
			return fmt.Errorf("--additional-gids: id %d is out of range", g) // never cut to another's
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, uint32(g))
	}
	addCapabilities(p, f.caps)
	return nil
}

// addCapabilities adds capabilities to every set but the inheritable one
// (CVE-2022-29162). So to the ambient one it adds, as runc does, only what
// config.json has in the inheritable one.
func addCapabilities(p *specs.Process, names []string) {
	if len(names) == 0 {
		return
	}
	c := specs.LinuxCapabilities{}
	if p.Capabilities != nil {
		c = *p.Capabilities
	}
	for _, n := range names {
		if n = strings.ToUpper(n); !strings.HasPrefix(n, "CAP_") {
			n = "CAP_" + n
		}
		c.Bounding, c.Effective, c.Permitted = add(c.Bounding, n), add(c.Effective, n), add(c.Permitted, n)
		if slices.Contains(c.Inheritable, n) {
			c.Ambient = add(c.Ambient, n)
		}
	}
	p.Capabilities = &c
}

func add(list []string, s string) []string { return append(list[:len(list):len(list)], s) }

// readInput reads a file, or standard input for "-".
func readInput(name string) (text []byte, err error) {
	if name == "-" {
		text, err = readSensible(os.Stdin)
	} else {
		text, err = readFile(name)
	}
	if err != nil {
		err = fmt.Errorf("read %s: %w", name, err)
	}
	return text, err
}

// readFile reads a file, which may be a pipe. An error does not name it.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, unwrapPath(err)
	}
	defer f.Close()
	return readSensible(f)
}

// sensible is more than anybody writes by hand, in bytes.
const sensible = 16 << 20

// readSensible reads what is left of a file, and no device without an end.
func readSensible(f *os.File) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, sensible+1))
	if len(text) > sensible {
		err = errors.New("it is larger than 16 MiB")
	}
	return text, unwrapPath(err)
}
