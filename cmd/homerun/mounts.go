package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/homerun-oci/homerun/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
)

var errMountsUsage = errors.New("want add or remove, the container's id, and a file")

func newMountsCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "mounts add|remove ID FILE|-",
		Short: "Change the mounts of a running container",
		Long: `Add mounts to a running container, or remove some. FILE holds a JSON array of
mounts as config.json has them; of those to remove only the destination counts.`,
		Args: func(_ *cobra.Command, args []string) error {
			o.verb = "mounts"
			if len(args) != 3 {
				return errMountsUsage
			}
			o.verb, o.id = "mounts "+args[0], args[1]
			return nil
		},
		RunE: o.withRuntime(changeMounts),
	}
}

func changeMounts(ctx context.Context, r *container.Runtime, args []string) error {
	change := r.AddMounts
	switch args[0] {
	case "add":
	case "remove":
		change = r.RemoveMounts
	default:
		return errMountsUsage
	}
	list, err := readMounts(args[2])
	if err != nil {
		return err
	}
	return change(ctx, args[1], list)
}

func readMounts(name string) ([]specs.Mount, error) {
	text, err := readInput(name)
	if err != nil {
		return nil, err
	}
	var list []specs.Mount
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: want a JSON array of mounts: %w", name, err)
	}
	for i := range list {
		if list[i].Destination == "" || list[i].Destination[0] != '/' {
			return nil, fmt.Errorf("%s: [%d].destination: must be an absolute path", name, i)
		}
	}
	return list, nil
}
