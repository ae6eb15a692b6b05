package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newDocsCommand writes the completion scripts, and what the manual pages take from
// the commands (hack/man makes them), so that neither can differ from these. It is for
// `make docs` and hidden.
func newDocsCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:    "generate-docs DIR",
		Short:  "Write completion scripts, and the commands for the manual pages",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			o.verb = "generate-docs"
			return writeDocs(newRootCommand(&options{}, nil), args[0])
		},
	}
}

func writeDocs(root *cobra.Command, dir string) error {
	for name, write := range map[string]func(*os.File) error{
		"completion/bash/homerun":      func(f *os.File) error { return root.GenBashCompletionV2(f, true) },
		"completion/zsh/_homerun":      func(f *os.File) error { return root.GenZshCompletion(f) },
		"completion/fish/homerun.fish": func(f *os.File) error { return root.GenFishCompletion(f, true) },
		"commands.json":                func(f *os.File) error { return printJSON(f, documented(root)) },
	} {
		if err := writeDoc(filepath.Join(dir, name), write); err != nil {
			return err
		}
	}
	return nil
}

func writeDoc(name string, write func(*os.File) error) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("make the directory of %s: %w", name, unwrapPath(err))
	}
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("make %s: %w", name, unwrapPath(err))
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", name, err)
	}
	return f.Close()
}

// documentedCommand is a command as hack/man reads it.
type documentedCommand struct {
	Name     string              `json:"name"`
	Use      string              `json:"use"`
	Short    string              `json:"short"`
	Group    string              `json:"group,omitempty"`
	Flags    []documentedFlag    `json:"flags"`
	Groups   []string            `json:"groups,omitempty"`
	Commands []documentedCommand `json:"commands,omitempty"`
}

type documentedFlag struct {
	Name      string `json:"name"`
	Shorthand string `json:"shorthand,omitempty"`
	Value     string `json:"value,omitempty"`
	Default   string `json:"default,omitempty"`
	Usage     string `json:"usage"`
	Heading   string `json:"heading,omitempty"`
}

// documented describes a command and those below it, but hidden ones.
func documented(c *cobra.Command) documentedCommand {
	d := documentedCommand{Name: c.Name(), Use: c.Use, Short: c.Short, Flags: []documentedFlag{}}
	sets := []*pflag.FlagSet{c.LocalFlags()}
	if c.Flags().Lookup("rootfs") != nil {
		sets = underHeadings(c.LocalFlags())
	}
	for i, set := range sets {
		set.VisitAll(func(f *pflag.Flag) {
			heading := ""
			if i > 0 {
				heading = groups[i].title
			}
			if !f.Hidden {
				value, usage := pflag.UnquoteUsage(f)
				d.Flags = append(d.Flags, documentedFlag{f.Name, f.Shorthand, value, f.DefValue, usage, heading})
			}
		})
	}
	titles := map[string]string{}
	for _, g := range c.Groups() {
		titles[g.ID] = g.Title
		d.Groups = append(d.Groups, g.Title)
	}
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" && sub.Name() != "completion" {
			below := documented(sub)
			below.Group = titles[sub.GroupID]
			d.Commands = append(d.Commands, below)
		}
	}
	return d
}
