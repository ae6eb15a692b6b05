package main

import (
	"errors"
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
	err := unknownVerb(root, name)
	root.DisableFlagParsing = true
	root.RunE = func(*cobra.Command, []string) error { return err }
}

// refuseUnknownTopic makes `help` fail for a verb that does not exist.
func refuseUnknownTopic(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help := command(root, "help")
	show := help.Run
	help.Run = nil
	help.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 && command(root, args[0]) == root {
			return unknownVerb(root, args[0])
		}
		show(c, args)
		return nil
	}
}

// unknownVerb is the error for a verb that does not exist, with what may have been meant.
func unknownVerb(root *cobra.Command, name string) error {
	message := fmt.Sprintf("unknown command %q", name)
	similar := append(root.SuggestionsFor(name), nearVerb(root, name)...)
	switch {
	case name == "checkpoint" || name == "restore":
		message = name + " is not supported: homerun does not save and restore running containers"
	case strings.Contains(" build commit import images load login pull push rmi save search tag ", " "+name+" "):
		message += ": homerun has no images; podman export makes a directory of one, for run --rootfs DIR"
	case otherwise[name] != "":
		message += ": " + otherwise[name]
	case len(similar) > 0:
		message += fmt.Sprintf("; did you mean %q?", similar[0])
	default:
		message += "; homerun help lists them"
	}
	return errors.New(message)
}

// otherwise says what does what verbs of docker's and podman's do.
var otherwise = map[string]string{
	"attach": "logs -f shows what it writes, and shell is a terminal in it", "container": "its verbs are homerun's own: homerun list",
	"cp": "run --volume shares a directory with it, and exec ID tar passes files", "diff": "run --overlay=DIR keeps what was changed in DIR",
	"info": "doctor says what this machine can do", "rename": "an id stays; run --name says it", "restart": "stop, rm and run do; unit has systemd do it",
	"system": "doctor says what this machine can do", "unpause": "resume does that", "volume": "homerun has no volumes: run --volume binds a directory",
}

// nearVerb is the verb whose name is nearest, if one is near.
func nearVerb(root *cobra.Command, name string) []string {
	var near nearest
	for _, c := range root.Commands() {
		if !c.Hidden {
			near.offer(name, c.Name())
		}
	}
	return near.name
}
