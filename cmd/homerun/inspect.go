package main

import (
	"context"
	"fmt"
	"os"

	"github.com/homerun-oci/homerun/container"
	"github.com/spf13/cobra"
)

func newInspectCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect ID...",
		Short: "Print all that is known of containers as a JSON list",
		Long: `Print all that is known of containers, as a JSON list: their state, how they ended,
their program, cgroup and limits, id maps and ports as they are now, and the config.json
that they were made from, with its environment.`,
		Example: `  homerun inspect web
  homerun inspect web | jq '.[0].limits'`,
		Args: o.someIDs("inspect"),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			list := []container.Inspection{}
			err := inTurn(args, func(id string) error {
				c, err := r.Peek(id)
				if err != nil {
					return err
				}
				defer c.Close()
				i, err := c.Inspect(ctx)
				if err == nil {
					list = append(list, i)
				}
				return err
			})
			if e := printJSON(os.Stdout, list); e != nil {
				return e
			}
			return err
		}),
	}
}

func newVersionCommand(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version [--json]",
		Short: "Print the version",
		Args:  o.noArgs("version"),
		RunE: func(*cobra.Command, []string) error {
			o.verb = "version"
			if asJSON {
				return printJSON(os.Stdout, map[string]string{"version": ownVersion(), "commit": commit, "spec": specVersion})
			}
			_, err := fmt.Print(versionText())
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}
