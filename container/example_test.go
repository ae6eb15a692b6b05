package container_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/spec"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// scratch makes a state root of the example's own and a bundle: the host's
// files, read-only, with a program.
func scratch(args ...string) (*container.Runtime, *bundle.Bundle, func()) {
	return scratchWith(container.Options{}, args...)
}

// scratchWith is scratch with options, but for the state root.
func scratchWith(o container.Options, args ...string) (*container.Runtime, *bundle.Bundle, func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	config, err := spec.Rootfs{Path: "/", ReadOnly: true, Args: args}.Config()
	if err != nil {
		log.Fatal(err)
	}
	bundle := &bundle.Bundle{Config: config}
	config.Linux.Resources = nil
	o.Root, o.Manager = dir+"/state", cmp.Or(o.Manager, cgroupv2.None)
	runtime, err := container.New(o)
	if err != nil {
		log.Fatal(err)
	}
	bundle.Dir = dir // where hooks begin, and relative paths
	return runtime, bundle, func() { os.RemoveAll(dir) }
}

// A container that runs to its end.
func ExampleRuntime_Run() {
	ctx := context.Background()
	runtime, bundle, remove := scratch("sh", "-c", "echo it works; exit 3")
	defer remove()
	process, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle, Streams: container.OwnStreams()})
	if err != nil {
		log.Fatal(err)
	}
	status, err := process.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("status", status)
	if err := process.Delete(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// it works
	// status 3
}

// The lifecycle in single steps, as an engine drives it.
func ExampleRuntime_Create() {
	ctx := context.Background()
	runtime, bundle, remove := scratch("sleep", "60")
	defer remove()
	c, err := runtime.Create(ctx, container.Request{ID: "web", Bundle: bundle, Streams: container.OwnStreams()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	defer unix.Wait4(c.State.Pid, nil, 0, nil) // init is our child
	print := func() {
		if c, err := runtime.Peek("web"); err == nil {
			status, err := c.Status()
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(status)
			c.Close()
		}
	}
	print()
	if err := runtime.Start(ctx, "web"); err != nil {
		log.Fatal(err)
	}
	print()
	if err := runtime.Kill(ctx, "web", unix.SIGKILL); err != nil {
		log.Fatal(err)
	}
	// The caller is init's parent: Wait cannot know how it ended, until that
	// looks after it.
	if _, err := runtime.Wait(ctx, "web"); err != nil && !errors.Is(err, container.ErrExitUnknown) {
		log.Fatal(err)
	}
	print()
	if err := runtime.Delete(ctx, "web"); err != nil {
		log.Fatal(err)
	}
	_, err = runtime.Peek("web")
	fmt.Println(errors.Is(err, store.ErrNotExist))
	// Output:
	// created
	// running
	// stopped
	// true
}

// The options of the homerun command, changed.
func ExampleNew() {
	options := container.DefaultOptions(os.Getenv)
	options.Manager = cgroupv2.None
	options.Warn = func(text string) { log.Print(text) }
	runtime, err := container.New(options)
	if err != nil {
		log.Fatal(err)
	}
	_, err = runtime.Peek("nobody-has-this")
	fmt.Println(errors.Is(err, store.ErrNotExist))
	options.Root = "containers"
	_, err = container.New(options)
	fmt.Println(err)
	// Output:
	// true
	// the path of the state root is not absolute: "containers"
}

// One more process in a container that runs, with what it writes.
func ExampleRuntime_Exec() {
	ctx := context.Background()
	runtime, bundle, remove := scratch("sleep", "60")
	defer remove()
	init, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle}) // all streams are /dev/null
	if err != nil {
		log.Fatal(err)
	}
	process := *bundle.Config.Process
	process.Args = []string{"echo", "hello"}
	p, err := runtime.Exec(ctx, "web", container.ExecRequest{Process: &process, Streams: container.Streams{Out: os.Stdout}})
	if err != nil {
		log.Fatal(err)
	}
	status, err := p.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("status", status)

	soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := init.Wait(soon); errors.Is(err, context.DeadlineExceeded) {
		fmt.Println("the container goes on")
	}
	init.Signal(unix.SIGKILL)
	if status, err = init.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("status", status)
	if err := init.Delete(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// hello
	// status 0
	// the container goes on
	// status 137
}

// What Run would do, and does not: what a person wants to know of it.
func ExampleRuntime_PlanRun() {
	runtime, bundle, remove := scratch("true")
	defer remove()
	plan, err := runtime.PlanRun(context.Background(), container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range compile.Summarize(plan.Config, plan.Facts, plan.Result) {
		if line.Subject == "program" || line.Subject == "root" {
			fmt.Println(line.Subject+":", line.Text)
		}
	}
	// Output:
	// root: /, read-only
	// program: "true" in /
}
