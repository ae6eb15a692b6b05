package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// direct runs a plain command line: a verb that exists, flags that it has, no
// wish for help. Cobra's own way makes the commands for help and completion
// first, whatever is asked, and costs a verb a twentieth of its time (run 1.04, list
// 1.05; medians of 250 rounds in random order, idle, 2026-11). It is
// false, and nothing has happened but to root and its options, when the command
// line is for cobra to answer.
func direct(ctx context.Context, root *cobra.Command, args []string) (done bool, err error) {
	commands := root.Commands()
	if len(commands) != 1 {
		return false, nil
	}
	c := commands[0]
	args = normalize(root, args)
	i := verbIndex(root, args)
	if c.ParseFlags(slices.Concat(args[:i], args[i+1:])) != nil {
		return false, nil
	}
	if help := c.Flags().Lookup("help"); help != nil && help.Changed {
		return false, nil
	}
	c.SetContext(ctx)
	args = c.Flags().Args()
	if err := c.ValidateArgs(args); err != nil {
		return true, err
	}
	return true, c.RunE(c, args)
}

// isPlain reports whether run has no --rootfs, and needs no flags that go with it.
func isPlain(args []string) bool {
	return !slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "-rootfs") })
}
