package main

import (
	"github.com/spf13/cobra"
)

func newLintCommand(o *options) *cobra.Command {
	json, strict, config := false, false, ""
	c := &cobra.Command{
		Use:   "lint [BUNDLE]",
		Short: "Say what of a bundle's config.json is misspelt, cannot work here, or is unsafe",
		Long: `Read a bundle's config.json (that of the current directory without BUNDLE) and say
what no host can run, which members no runtime knows, what this host cannot do for
this user, and what lets the container reach further than containers usually do.
Nothing is run. The exit status is 1 where something of the first three is found;
what is unsafe or ignored is a warning.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			o.verb = "lint"
			flags := []string{"--config", config, "--cgroup-manager", string(o.manager())}
			if strict {
				flags = append(flags, "--strict")
			}
			return o.becomeDoctor(json, append(flags, append([]string{"--", "lint"}, args...)...)...)
		},
	}
	c.Flags().BoolVar(&json, "json", false, "print JSON, whose form is stable")
	c.Flags().BoolVar(&strict, "strict", false, "exit with status 1 for warnings, too")
	c.Flags().StringVarP(&config, "config", "f", "", "another name for config.json")
	return c
}
