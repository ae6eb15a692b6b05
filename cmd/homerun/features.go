package main

import (
	"os"

	"github.com/homerun-oci/homerun/container"
	"github.com/spf13/cobra"
)

func newFeaturesCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "features",
		Short: "Print what homerun can do as JSON",
		Args:  o.noArgs("features"),
		RunE: func(*cobra.Command, []string) error {
			o.verb = "features"
			f := container.Features(container.Helpers{})
			f.Annotations = map[string]string{
				"io.github.homerun-oci.homerun.version":      ownVersion(),
				"io.github.homerun-oci.homerun.commit":       commit,
				"org.opencontainers.runc.checkpoint.enabled": "false",
				"io.github.homerun-oci.homerun.annotations":  annotationNet + "," + annotationPorts,
			}
			return printJSON(os.Stdout, f)
		},
	}
}
