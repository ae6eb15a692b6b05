package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/spf13/cobra"
)

// doctorName is the helper that does what doctor and lint do: they would be a hundredth
// of this program.
const doctorName = "homerun-doctor"

func newDoctorCommand(o *options) *cobra.Command {
	json := false
	c := &cobra.Command{
		Use:   "doctor [--json]",
		Short: "Say what this host lacks for containers, and what mends it",
		Long: `Look at everything that containers without root need of a host, and run one. Each
line says what is there, or what does not work without it and the commands that
mend it. Nothing is changed. The exit status is 0 when nothing is missing, else 1;
what is degraded works in part, or slower.`,
		Args: o.noArgs("doctor"),
		RunE: func(*cobra.Command, []string) error {
			o.verb = "doctor"
			return o.becomeDoctor(json)
		},
	}
	c.Flags().BoolVar(&json, "json", false, "print JSON, whose form is stable")
	return c
}

// becomeDoctor has the helper take this process's place.
func (o *options) becomeDoctor(json bool, more ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own path (is /proc mounted?): %w", err)
	}
	program, places := container.FindHelper(doctorName)
	if program == "" {
		return &fault.Error{Why: doctorName + " is neither at " + strings.Join(places, " nor at "), Hint: "install all of homerun's programs together"}
	}
	args := []string{doctorName, "--homerun", self}
	if o.root != "" {
		args = append(args, "--root", o.root)
	}
	if json {
		args = append(args, "--json")
	}
	return fmt.Errorf("start %s: %w", program, syscall.Exec(program, append(args, more...), os.Environ()))
}
