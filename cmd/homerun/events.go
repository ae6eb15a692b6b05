package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/homerun-oci/homerun/container"
	"github.com/spf13/cobra"
)

func newEventsCommand(o *options) *cobra.Command {
	var interval time.Duration
	var stats bool
	c := &cobra.Command{
		Use:   "events [--stats] [--interval TIME] ID",
		Short: "Print what a container uses, and when memory runs out, as JSON lines",
		Args:  o.oneID("events"),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			emit := json.NewEncoder(os.Stdout).Encode
			if stats {
				s, err := r.Stats(args[0])
				if err != nil {
					return err
				}
				return emit(container.Event{Type: "stats", ID: args[0], Data: s})
			}
			if interval <= 0 {
				return errors.New("--interval must be more than 0")
			}
			return r.Events(ctx, args[0], interval, func(e container.Event) error { return emit(e) })
		}),
	}
	c.Flags().DurationVar(&interval, "interval", 5*time.Second, "time between stats")
	c.Flags().BoolVar(&stats, "stats", false, "print the stats once")
	return c
}
