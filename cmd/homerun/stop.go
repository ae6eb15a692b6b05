package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/homerun-oci/homerun/container"
	"github.com/spf13/cobra"
)

func newStopCommand(o *options) *cobra.Command {
	var seconds int
	var signal string
	c := &cobra.Command{
		Use:   "stop [-t SECONDS] [-s SIGNAL] ID...",
		Short: "End containers: a signal, some time, then SIGKILL",
		Long: `End containers. The program is sent SIGTERM, or the signal that the container has for
it, and killed when it has not ended 10 seconds later. One that would never see the
signal is killed at once, one that is paused is resumed by it, and one that has stopped
already is fine. The containers stay, with their exit status and output, until rm.`,
		Example: `  homerun stop web
  homerun stop -t 60 -s INT web db`,
		Args: o.someIDs("stop"),
	}
	flags := c.Flags()
	flags.IntVarP(&seconds, "time", "t", 10, "how long the program has to end, in seconds; -1 is for ever (default the container's, or 10)")
	flags.StringVarP(&signal, "signal", "s", "", "what it is sent (default the container's, or TERM)")
	flags.Lookup("time").DefValue = "0" // the help has said it, and pflag is silent of a zero
	c.RunE = o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) (err error) {
		var how container.StopOptions
		if seconds < -1 {
			return fmt.Errorf("--time %d: want whole seconds, or -1 to wait for ever", seconds)
		}
		if flags.Changed("time") {
			limit := container.Seconds(seconds)
			how.Timeout = &limit
		}
		if flags.Changed("signal") {
			if how.Signal, err = container.ParseStopSignal(signal); err != nil {
				return err
			}
		}
		return atOnce(args, func(id string) error { return r.Stop(ctx, id, how) })
	})
	return c
}

func newRmCommand(o *options) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "rm [-f] ID...",
		Short: "Remove containers that have stopped",
		Example: `  homerun rm web
  homerun rm -f web db`,
		Args: o.someIDs("rm"),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			remove := r.Delete
			if force {
				remove = r.ForceDelete
			}
			return inTurn(args, func(id string) error { return remove(ctx, id) })
		}),
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "kill them first; no error for one that there is not")
	return c
}

var errSomeIDs = errors.New("want one container's id, or more")

// someIDs checks that a verb gets ids, and remembers it.
func (o *options) someIDs(verb string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		o.verb = verb
		switch len(args) {
		case 0:
			return errSomeIDs
		case 1:
			o.id = args[0]
		}
		return nil
	}
}

// maybeID remembers the verb, and the id if there is one.
func (o *options) maybeID(verb string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if o.verb = verb; len(args) > 0 {
			o.id = args[0]
		}
		return nil
	}
}

// inTurn does something with each of some containers; one that fails keeps no other
// from its turn.
func inTurn(ids []string, do func(id string) error) error {
	failed := make([]error, len(ids))
	for i, id := range ids {
		failed[i] = named(ids, id, do(id))
	}
	return errors.Join(failed...)
}

// atOnce is inTurn for what takes time.
func atOnce(ids []string, do func(id string) error) error {
	failed := make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() { failed[i] = named(ids, id, do(id)) })
	}
	all.Wait()
	return errors.Join(failed...)
}

// named says in an error whose it is, where that is not clear.
func named(ids []string, id string, err error) error {
	if err == nil || len(ids) == 1 {
		return err
	}
	return fmt.Errorf("%s: %w", id, err)
}
