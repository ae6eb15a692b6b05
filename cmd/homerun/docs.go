package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newDocsCommand writes the man pages and the completion scripts, so that they
// cannot differ from the commands. It is for `make docs` and hidden.
func newDocsCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:    "generate-docs DIR",
		Short:  "Write man pages and completion scripts",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			o.verb = "generate-docs"
			return writeDocs(newRootCommand(&options{}, nil), args[0])
		},
	}
}

func writeDocs(root *cobra.Command, dir string) error {
	pages := map[string]string{"man/homerun.1": manPage(root)}
	for _, c := range root.Commands() {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			pages["man/homerun-"+c.Name()+".1"] = manPage(c)
		}
	}
	for name, write := range map[string]func(*os.File) error{
		"completion/bash/homerun":      func(f *os.File) error { return root.GenBashCompletionV2(f, true) },
		"completion/zsh/_homerun":      func(f *os.File) error { return root.GenZshCompletion(f) },
		"completion/fish/homerun.fish": func(f *os.File) error { return root.GenFishCompletion(f, true) },
	} {
		if err := writeDoc(filepath.Join(dir, name), write); err != nil {
			return err
		}
	}
	for name, text := range pages {
		err := writeDoc(filepath.Join(dir, name), func(f *os.File) error {
			_, err := f.WriteString(text)
			return err
		})
		if err != nil {
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

// manPage is a page of man(7) for a command.
func manPage(c *cobra.Command) string {
	var b strings.Builder
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"homerun\" \"User Commands\"\n", strings.ToUpper(name))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(c.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(synopsis(c)))
	description := c.Long
	if description == "" {
		description = c.Short + "."
	}
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", roff(description))
	for i, set := range underHeadings(c.LocalFlags()) {
		title := "OPTIONS"
		if i > 0 {
			title = strings.Replace(strings.ToUpper(groups[i].title), "--ROOTFS", "--rootfs", 1)
		}
		manFlags(&b, title, set)
	}
	if c.HasParent() {
		manFlags(&b, "GLOBAL OPTIONS", c.InheritedFlags())
	}
	if c.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(c.Example))
	}
	manCommands(&b, c)
	b.WriteString(".SH SEE ALSO\n.BR homerun (1)\n")
	return b.String()
}

func synopsis(c *cobra.Command) string {
	if !c.HasParent() {
		return "homerun [OPTIONS] COMMAND"
	}
	return "homerun " + c.Use
}

func manFlags(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(b, ".TP\n.B %s %s\n%s\n", roff(name), roff(value), roff(usage))
	})
}

func manCommands(b *strings.Builder, c *cobra.Command) {
	if c.HasParent() || !c.HasSubCommands() {
		return
	}
	b.WriteString(".SH COMMANDS\n")
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" && sub.Name() != "completion" {
			fmt.Fprintf(b, ".TP\n.BR homerun-%s (1)\n%s\n", sub.Name(), roff(sub.Short))
		}
	}
}

// roff quotes a text for man(7).
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
