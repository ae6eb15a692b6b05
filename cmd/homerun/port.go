package main

import (
	"context"
	"fmt"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/netns"
	"github.com/spf13/cobra"
)

func newPortCommand(o *options) *cobra.Command {
	var add, remove []string
	c := &cobra.Command{
		Use:   "port [--add PORT] [--remove PORT] ID",
		Short: "List, add and remove a container's published ports",
		Args:  o.oneID("port"),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			made, err := r.Peek(args[0])
			if err != nil {
				return err
			}
			defer made.Close()
			return ports(ctx, made, add, remove)
		}),
	}
	c.Flags().Var((*repeated)(&add), "add", "publish [IP:]HOST[-HOST]:CONTAINER[-CONTAINER][/tcp|udp]")
	c.Flags().Var((*repeated)(&remove), "remove", "take one back")
	return c
}

// ports changes and lists the forwards.
func ports(ctx context.Context, c *container.Container, add, remove []string) error {
	if len(add)+len(remove) == 0 {
		return listPorts(ctx, c)
	}
	steps := []struct {
		texts []string
		do    func(context.Context, []netns.Forward) ([]netns.Published, error)
	}{{remove, c.Unpublish}, {add, c.Publish}}
	for _, step := range steps {
		list, err := parseAll(step.texts, netns.ParseForward)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			if _, err := step.do(ctx, list); err != nil {
				return err
			}
		}
	}
	return nil
}

func listPorts(ctx context.Context, c *container.Container) error {
	published, err := c.Ports(ctx)
	if err != nil {
		return err
	}
	for _, p := range published {
		if _, err := fmt.Println(p.Forward.String()); err != nil {
			return err
		}
	}
	return nil
}
