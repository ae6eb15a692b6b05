package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/plain"
	"github.com/spf13/cobra"
)

// Theory of operation
//
// Callers of other runtimes read the columns of `list`: they stay as they are, in a file
// or a pipe. On a terminal people read it, and have a table of their own.

// grouped puts the verbs under headings, what people use first.
func grouped(root *cobra.Command) {
	root.AddGroup(&cobra.Group{ID: "people", Title: "Containers:"}, &cobra.Group{ID: "look", Title: "What would happen, and what this machine can do:"},
		&cobra.Group{ID: "engines", Title: "For podman, docker, containerd and bundles:"})
	for _, c := range root.Commands() {
		switch c.Name() {
		case "create", "start", "state", "delete", "events", "features", "mounts", "spec":
			c.GroupID = "engines"
		case "plan", "doctor", "lint", "version", "unit":
			c.GroupID = "look"
		default:
			c.GroupID = "people"
		}
	}
	root.SetHelpCommandGroupID("look")
}

// listFlags are those of list.
type listFlags struct {
	format string
	quiet  bool
}

func (f *listFlags) add(c *cobra.Command) {
	c.Flags().StringVarP(&f.format, "format", "f", "", "table, brief or json (default brief on a terminal, else table)")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "ids only")
	c.Flags().BoolP("all", "a", true, "accepted: those that have stopped are always there")
	_ = c.Flags().MarkHidden("all")
}

// brief lists containers for people.
func brief(ctx context.Context, r *container.Runtime) error {
	out := bufio.NewWriter(os.Stdout)
	w := tabwriter.NewWriter(out, 0, 1, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATUS\tAGE\tPORTS\tCOMMAND")
	err := r.List(func(c *container.Container) error {
		d, err := c.OCIState()
		if err != nil {
			return fmt.Errorf("container %q: %w", c.ID, err)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.ID, statusText(&d), ageText(time.Since(d.Created)), portsText(ctx, c, &d),
			plain.Short(strings.Join(c.Command(), " "), maxCommand))
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return out.Flush()
}

// maxCommand is how many bytes of a command line are shown, about.
const maxCommand = 40

// statusText is the status, and how the container ended if that is known.
func statusText(d *container.OCIState) string {
	switch {
	case d.Exit == nil:
		return d.Status
	case d.Exit.Signal != "":
		return d.Status + " (" + d.Exit.Signal + ")"
	}
	return d.Status + " (" + strconv.Itoa(d.Exit.Status) + ")"
}

// ageText is how long something is there, in its largest unit.
func ageText(age time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case age < 0:
		return "-"
	case age < time.Minute:
		return strconv.Itoa(int(age/time.Second)) + " s"
	case age < time.Hour:
		return strconv.Itoa(int(age/time.Minute)) + " min"
	case age < 2*day:
		return strconv.Itoa(int(age/time.Hour)) + " h"
	case age > 100*365*day: // one that is half made has no time
		return "-"
	}
	return strconv.Itoa(int(age/day)) + " days"
}

// portsText are the ports that are published now.
func portsText(ctx context.Context, c *container.Container, d *container.OCIState) string {
	if d.Pid == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	published, _ := c.Ports(ctx) // without a helper there are none
	var list []string
	for _, p := range published {
		list = append(list, p.Forward.String())
	}
	return strings.Join(list, ", ")
}
