package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func newKillCommand(o *options) *cobra.Command {
	var all, regex bool
	name := ""
	c := &cobra.Command{
		Use:   "kill ID [SIGNAL] | kill --regex PATTERN [SIGNAL]",
		Short: "Send a signal to a container's init (SIGTERM by default)",
		Args:  o.idAnd("kill", 2),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			s, err := signalOf(name, args[1:])
			if err != nil {
				return err
			}
			kill := r.Kill
			if all {
				kill = r.KillAll
			}
			return forEach(r, args[0], regex, func(id string) error { return kill(ctx, id, s) })
		}),
	}
	c.Flags().StringVarP(&name, "signal", "s", "", "the signal, in place of an argument")
	c.Flags().BoolVarP(&all, "all", "a", false, "to all processes of the container")
	c.Flags().BoolVarP(&regex, "regex", "r", false, "the argument is a regular expression that matches part of the ids")
	return c
}

// signalOf is kill's signal: that of --signal, or of the argument.
func signalOf(flag string, args []string) (unix.Signal, error) {
	if flag != "" && len(args) > 0 {
		return 0, fmt.Errorf("--signal %s and %s: want one signal", flag, args[0])
	}
	return container.ParseSignal(cmp.Or(append(args, flag, "TERM")...))
}

func newDeleteCommand(o *options) *cobra.Command {
	var force, regex, wait bool
	init := ""
	c := &cobra.Command{
		Use:   "delete [-f] ID | delete [-f] --regex PATTERN",
		Short: "Remove a container that has stopped",
		Args:  o.oneID("delete"),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			remove := r.Delete
			switch {
			case force && wait:
				return errors.New("--force kills it, and --wait waits for its end: leave one out")
			case force:
				remove = r.ForceDelete
			case wait:
				remove = func(ctx context.Context, id string) error { return r.DeleteEnded(ctx, id, init) }
			}
			return forEach(r, args[0], regex, func(id string) error { return remove(ctx, id) })
		}),
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "kill it first; no error when there is none")
	c.Flags().BoolVar(&wait, "wait", false, "wait for its program to end first")
	c.Flags().StringVar(&init, "init", "", "with --wait: PID:START of the init that it has to have, to be deleted")
	_ = c.Flags().MarkHidden("init")
	c.Flags().BoolVarP(&regex, "regex", "r", false, "the argument is a regular expression that matches part of the ids")
	return c
}

// forEach does something with a container, or with all whose id a pattern
// matches; one that fails keeps no other from its turn.
func forEach(r *container.Runtime, id string, regex bool, do func(id string) error) error {
	if !regex {
		return do(id)
	}
	pattern, err := regexp.Compile(id)
	if err != nil {
		return err
	}
	ids, err := r.IDs()
	if err != nil {
		return err
	}
	var failed []error
	for _, id := range ids {
		if !pattern.MatchString(id) {
			continue
		}
		if err := do(id); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

// forContainer is a verb that takes an id and nothing else.
func (o *options) forContainer(verb, short string, do func(*container.Runtime, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " ID",
		Short: short,
		Args:  o.oneID(verb),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			return do(r, ctx, args[0])
		}),
	}
}

func newPauseCommand(o *options) *cobra.Command {
	return o.forContainer("pause", "Freeze all processes of a container", (*container.Runtime).Pause)
}

func newResumeCommand(o *options) *cobra.Command {
	return o.forContainer("resume", "Let a paused container go on", (*container.Runtime).Resume)
}

func newWaitCommand(o *options) *cobra.Command {
	return o.forContainer("wait", "Wait for a container's init to end, and exit as it did if that is known",
		func(r *container.Runtime, ctx context.Context, id string) error {
			e, err := r.Wait(ctx, id)
			switch {
			case errors.Is(err, container.ErrExitUnknown):
				o.warn(fault.OneLine(err.Error(), err)) // it has been waited for all the same
				return nil
			case err == nil:
				o.status = e.Status
			}
			return err
		})
}
