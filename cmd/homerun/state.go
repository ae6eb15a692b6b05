package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/plain"
	"github.com/spf13/cobra"
)

func newStateCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "state ID",
		Short: "Print a container's state as JSON",
		Args:  o.oneID("state"),
		RunE: o.withRuntime(func(_ context.Context, r *container.Runtime, args []string) error {
			c, err := r.Peek(args[0])
			if err != nil {
				return err
			}
			defer c.Close()
			d, err := c.OCIState()
			if err != nil {
				return err
			}
			return printJSON(os.Stdout, d)
		}),
	}
}

func newListCommand(o *options) *cobra.Command {
	f := &listFlags{}
	c := &cobra.Command{
		Use:     "list [-q] [-f brief|table|json]",
		Aliases: []string{"ls"},
		Short:   "List containers",
		Args:    o.noArgs("list"),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, _ []string) error {
			o.verb = "list"
			return o.list(ctx, r, f)
		}),
	}
	f.add(c)
	return c
}

// checkRoot refuses a state root that was asked for and is not there.
func (o *options) checkRoot() error {
	if o.root == "" {
		return nil
	}
	if _, err := os.Stat(o.root); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the state root %s does not exist", o.root)
	}
	return nil
}

func (o *options) list(ctx context.Context, r *container.Runtime, f *listFlags) error {
	if err := o.checkRoot(); err != nil {
		return err
	}
	switch format := f.format; {
	case f.quiet:
		ids, err := r.IDs()
		for _, id := range ids {
			if _, e := fmt.Println(id); e != nil {
				return e
			}
		}
		return err
	case format == "brief" || format == "" && isTerminal(1):
		return brief(ctx, r)
	case format != "json" && format != "table" && format != "":
		return fmt.Errorf("unknown format %q: want brief, table or json", format)
	case format == "json":
		states := []container.OCIState{}
		err := eachState(r, func(d *container.OCIState) { states = append(states, *d) })
		if err != nil {
			return err
		}
		return printJSON(os.Stdout, states)
	}
	out := bufio.NewWriter(os.Stdout) // a tabwriter writes each cell
	w := tabwriter.NewWriter(out, 12, 1, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER")
	err := eachState(r, func(d *container.OCIState) {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", d.ID, d.Pid, d.Status, plain.Text(d.Bundle), d.Created.Format(time.RFC3339Nano), plain.Text(d.Owner))
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return out.Flush()
}

// eachState calls show with the states of all containers.
func eachState(r *container.Runtime, show func(*container.OCIState)) error {
	return r.List(func(c *container.Container) error {
		d, err := c.OCIState()
		if err != nil {
			return fmt.Errorf("container %q: %w", c.ID, err)
		}
		show(&d)
		return nil
	})
}

func newPsCommand(o *options) *cobra.Command {
	f := &listFlags{}
	c := &cobra.Command{
		Use:   "ps [-f table|json] ID [OPTION-OF-PS...] | ps",
		Short: "List a container's processes, or without an id containers",
		Args:  o.maybeID("ps"),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			if len(args) == 0 {
				return o.list(ctx, r, f)
			}
			c, err := r.Peek(args[0])
			if err != nil {
				return err
			}
			defer c.Close()
			pids, err := c.Processes(ctx)
			if err != nil {
				return err
			}
			if rest := args[1:]; (f.format == "" || f.format == "table") && len(rest) > 0 && !slices.Equal(rest, []string{"-ef"}) {
				return hostPs(ctx, os.Stdout, pids, rest)
			}
			return printProcesses(pids, f.format)
		}),
	}
	// What follows the id is for ps(1): docker and containerd pass -ef.
	c.Flags().SetInterspersed(false)
	f.add(c)
	return c
}

func printProcesses(pids []int, format string) error {
	switch format {
	case "json":
		if pids == nil {
			pids = []int{}
		}
		return printJSON(os.Stdout, pids)
	case "table", "":
	default:
		return fmt.Errorf("unknown format %q: want table or json", format)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 1, 1, ' ', 0)
	fmt.Fprintln(w, "UID\tPID\tPPID\tC\tSTIME\tTTY\tTIME\tCMD")
	for _, pid := range pids {
		if p, err := container.DescribeProcess(pid); err == nil {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", plain.Text(p.User), pid, p.Parent, p.Percent, startTime(p.Started),
				p.Terminal, cpuTime(p.CPU), plain.Short(p.Command, maxLine))
		}
	}
	return w.Flush()
}

// startTime is ps's: the time of day today, else the day.
func startTime(t time.Time) string {
	if time.Since(t) < 24*time.Hour {
		return t.Format("15:04")
	}
	return t.Format("Jan02")
}

func cpuTime(d time.Duration) string {
	s := int(d.Seconds())
	two := func(n int) string { return strconv.Itoa(n/10) + strconv.Itoa(n%10) }
	return two(s/3600) + ":" + two(s/60%60) + ":" + two(s%60)
}
