package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/homerun-oci/homerun/spec"
	"github.com/spf13/cobra"
)

func newSpecCommand(o *options) *cobra.Command {
	var dir, file string
	var rootless bool
	c := &cobra.Command{
		Use:   "spec [--rootless]",
		Short: "Write a config.json to start from",
		Args:  o.noArgs("spec"),
		RunE: func(*cobra.Command, []string) error {
			o.verb = "spec"
			return writeSpec(filepath.Join(dir, file), rootless)
		},
	}
	c.Flags().StringVarP(&dir, "bundle", "b", ".", "directory for config.json")
	c.Flags().StringVarP(&file, "file", "f", "config.json", "another name for config.json")
	c.Flags().BoolVar(&rootless, "rootless", false, "for a user without root, whose own id becomes the container's root")
	return c
}

// writeSpec writes the template, never over a file that exists.
func writeSpec(name string, rootless bool) error {
	s := spec.Template(rootless)
	if rootless {
		spec.MapOwn(s, uint32(os.Geteuid()), uint32(os.Getegid()))
	}
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("make %s: %w", name, unwrapPath(err))
	}
	if _, err = f.Write(append(text, '\n')); err == nil {
		err = f.Close()
	}
	return err
}

// unwrapPath takes the errno out of an *os.PathError, whose words repeat ours.
func unwrapPath(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}
