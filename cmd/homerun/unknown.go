package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// noVerb answers a command line without a verb.
func noVerb(c *cobra.Command, _ []string) error { return c.Help() }

// refuseUnknown makes root fail for a verb that does not exist, whatever its
// flags: podman takes a success of `checkpoint --help` as a promise, and then
// does not say itself that the runtime cannot.
func refuseUnknown(root *cobra.Command, name string) {
	builtIn := name == "" || name == "help" || name == "completion" || strings.HasPrefix(name, cobra.ShellCompRequestCmd)
	if builtIn || command(root, name) != root {
		return
	}
	message := fmt.Sprintf("unknown command %q", name)
	if name == "checkpoint" || name == "restore" {
		message = name + " is not supported: homerun does not save and restore running containers"
	}
	if similar := root.SuggestionsFor(name); len(similar) > 0 {
		message += fmt.Sprintf("; did you mean %q?", similar[0])
	}
	root.DisableFlagParsing = true
	root.RunE = func(*cobra.Command, []string) error { return fmt.Errorf("%s", message) }
}
