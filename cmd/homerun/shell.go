package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/plain"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func newShellCommand(o *options) *cobra.Command {
	f := &execFlags{interactive: true}
	c := &cobra.Command{
		Use:   "shell [-u USER] [-w DIR] [-e NAME=VALUE] ID",
		Short: "Start a shell in a running container",
		Long: `Start a shell in a running container, with a terminal if there is one: the one that
$SHELL names if the container has it, else /bin/bash, else /bin/sh.`,
		Example: `  homerun shell web
  homerun shell -u root web`,
		Args: o.oneID("shell"),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			f.tty = isTerminal(0) && isTerminal(1)
			if term := os.Getenv("TERM"); f.tty && term != "" {
				f.env = append([]string{"TERM=" + term}, f.env...)
			}
			f.shells = shells(os.Getenv("SHELL"))
			return o.exec(ctx, r, f, []string{args[0], f.shells[0]})
		}),
	}
	flags := c.Flags()
	flags.StringVarP(&f.user, "user", "u", "", "user: UID[:GID], or names of the container's")
	flags.StringVarP(&f.cwd, "workdir", "w", "", "the working directory")
	flags.VarP((*repeated)(&f.env), "env", "e", "add NAME=VALUE to the environment, or NAME with the value that it has here")
	return c
}

// shells are what may be in a container, best first.
func shells(own string) []string {
	list := []string{"/bin/bash", "/bin/sh"}
	if filepath.IsAbs(own) && own != list[0] && own != list[1] {
		list = append([]string{own}, list...)
	}
	return list
}

// start starts the process; of a list of shells the first that the container has.
func (f *execFlags) start(ctx context.Context, c *container.Container, r *container.ExecRequest) (*container.Process, error) {
	p, err := c.Exec(ctx, *r)
	for i := 1; i < len(f.shells) && isMissing(err); i++ {
		r.Process.Args = f.shells[i : i+1]
		p, err = c.Exec(ctx, *r)
	}
	if len(f.shells) > 0 && isMissing(err) {
		err = fmt.Errorf("the container has no shell: none of %s (homerun exec %s COMMAND runs what it has)", plain.Text(strings.Join(f.shells, ", ")), c.ID)
	}
	return p, err
}

// isMissing reports whether an error is that of a program that is not there.
func isMissing(err error) bool {
	place, errno := refused(err)
	return errno == unix.ENOENT && strings.HasPrefix(place, "process.args")
}
