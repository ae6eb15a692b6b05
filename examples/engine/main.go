// Engine is a small container engine, of what docs/library.md shows. It wants homerun-seccomp beside it, for the filter.
//
//	engine run [-m BYTES] [-p PORT]... NAME ROOT PROGRAM [ARGUMENT]...   in the background
//	engine ps | logs NAME | exec NAME PROGRAM [ARGUMENT]... | stop NAME
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// engine keeps containers, and what they print, below a directory of its own.
type engine struct {
	runtime *container.Runtime
	logs    string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	status, err := do(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "engine:", fault.OneLine(err.Error(), err)) // with its hint
		status = 1
	}
	os.Exit(status)
}

func do(ctx context.Context, args []string) (status int, err error) {
	options := container.DefaultOptions(os.Getenv)
	options.Root = filepath.Join(filepath.Dir(options.Root), "engine")
	options.Warn = func(text string) { fmt.Fprintln(os.Stderr, "engine:", text) }
	e := engine{logs: options.Root + "-logs"}
	if e.runtime, err = container.New(options); err == nil {
		err = os.MkdirAll(e.logs, 0o700)
	}
	if err != nil {
		return 1, err
	}
	switch {
	case len(args) >= 4 && args[0] == "run":
		return 0, e.run(ctx, args[1:])
	case len(args) == 1 && args[0] == "ps":
		return 0, e.list()
	case len(args) == 2 && args[0] == "logs":
		return 0, e.show(args[1])
	case len(args) >= 3 && args[0] == "exec":
		return e.exec(ctx, args[1], args[2:])
	case len(args) == 2 && args[0] == "stop":
		return 0, e.stop(ctx, args[1])
	}
	return 1, errors.New("usage: engine run [-m BYTES] [-p PORT] NAME ROOT PROGRAM... | ps | logs NAME | exec NAME PROGRAM... | stop NAME")
}

func (e *engine) run(ctx context.Context, args []string) error {
	flags, network := flag.NewFlagSet("run", flag.ContinueOnError), &netns.Connection{Network: netns.Network{Mode: netns.None}}
	memory := flags.Int64("m", 0, "at most this much memory, in bytes")
	flags.Func("p", "publish a port, as 8080:80", func(text string) error {
		port, err := netns.ParseForward(text)
		network.Network.Mode, network.Explicit, network.Ports = netns.Auto, true, append(network.Ports, port)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if args = flags.Args(); len(args) < 3 || args[0] != filepath.Base(args[0]) { // a log has its name
		return errors.New("run: want NAME ROOT PROGRAM")
	}
	root, err := filepath.Abs(args[1])
	if err != nil {
		return err
	}
	config, err := spec.Rootfs{Path: root, Args: args[2:], Security: spec.Security{Arch: runtime.GOARCH, Filtered: true}}.Config()
	if err != nil {
		return err
	}
	if *memory != 0 {
		config.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: memory}}
	}
	output, err := os.OpenFile(e.log(args[0]), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	p, err := e.runtime.Run(ctx, container.Request{ID: args[0], Bundle: &bundle.Bundle{Config: config}, Network: network,
		Streams: container.Streams{Out: output, Err: output}, Detached: true, Reaper: true})
	if err == nil {
		p.Close() // it goes on
	} else if !container.IsTaken(err) {
		os.Remove(output.Name())
	}
	return err
}

func (e *engine) log(name string) string { return filepath.Join(e.logs, filepath.Base(name)) }

func (e *engine) list() error {
	return e.runtime.List(func(c *container.Container) error {
		state, err := c.OCIState()
		if err == nil {
			fmt.Println(state.ID, state.Status, c.Command())
		}
		return err
	})
}

func (e *engine) show(name string) error {
	text, err := os.ReadFile(e.log(name))
	os.Stdout.Write(text)
	return err
}

func (e *engine) exec(ctx context.Context, name string, args []string) (status int, err error) {
	c, err := e.runtime.Peek(name)
	if err != nil {
		return 1, err
	}
	defer c.Close()
	process, err := c.Process()
	if err != nil {
		return 1, err
	}
	process.Args, process.Terminal = args, false
	p, err := c.Exec(ctx, container.ExecRequest{Process: process, Streams: container.OwnStreams()})
	if err != nil {
		return 1, err
	}
	defer p.Close()
	return p.Wait(ctx)
}

func (e *engine) stop(ctx context.Context, name string) error {
	if err := e.runtime.Stop(ctx, name, container.StopOptions{}); err != nil {
		return err
	}
	return errors.Join(e.runtime.ForceDelete(ctx, name), os.RemoveAll(e.log(name)))
}
