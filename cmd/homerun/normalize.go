package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// normalize gives long flags with a single dash their second one, as callers
// that were written for Go's flag package pass them (-no-subreaper). It stops
// where flags do: after the id of exec and run comes the container's command.
func normalize(root *cobra.Command, args []string) []string {
	out := slices.Clone(args)
	var verb *cobra.Command
	for i := 0; i < len(out) && out[i] != "--"; i++ {
		a := out[i]
		switch {
		case len(a) > 1 && a[0] == '-':
			if isLong(root, verb, a) {
				out[i] = "-" + a
			}
			if takesNext(root, verb, out[i]) {
				i++
			}
		case verb == nil:
			verb = command(root, a)
		case verb.Name() == "exec" || verb.Name() == "run" || verb.Name() == "unit":
			return out
		}
	}
	return out
}

// command finds the verb; one that does not exist has no flags of its own.
func command(root *cobra.Command, name string) *cobra.Command {
	for _, c := range root.Commands() {
		if c.Name() == name || c.HasAlias(name) {
			return c
		}
	}
	return root
}

// isLong reports whether it is a long flag with a single dash.
func isLong(root, verb *cobra.Command, a string) bool {
	name, _, _ := strings.Cut(a[1:], "=")
	return a[1] != '-' && len(name) > 2 && lookup(root, verb, name) != nil
}

func lookup(root, verb *cobra.Command, name string) *pflag.Flag {
	if f := root.PersistentFlags().Lookup(name); f != nil || verb == nil {
		return f
	}
	return verb.Flags().Lookup(name)
}

// takesNext reports whether the next argument is the value of this flag.
func takesNext(root, verb *cobra.Command, a string) bool {
	if name, long := strings.CutPrefix(a, "--"); long {
		f := lookup(root, verb, name) // a name with = has none
		return f != nil && f.NoOptDefVal == ""
	}
	for i := 1; i < len(a) && verb != nil; i++ { // -dp FILE, -pFILE
		if f := verb.Flags().ShorthandLookup(a[i : i+1]); f != nil && f.NoOptDefVal == "" {
			return i == len(a)-1
		}
	}
	return false
}
