// Homerun is an OCI container runtime for people without root.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/homerun-oci/homerun/rootfs/copytree"
	"golang.org/x/sys/unix"
)

// version and commit are set by the linker.
var (
	version = "unknown"
	commit  = ""
)

func main() {
	undoEntry()
	if os.Args[0] == copytree.ProgramName {
		os.Exit(copytree.Program(os.Args))
	}
	ownModes()
	growStack()
	os.Exit(run(context.Background(), os.Args[1:]))
}

// ownModes has the umask take nothing from the owner. Else what homerun makes, the
// state root to begin with, could be closed to homerun itself, for good.
func ownModes() {
	mask := unix.Umask(0o077)
	unix.Umask(mask &^ 0o700)
}

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string) int {
	o := &options{plain: isPlain(args)}
	if err := enoughDescriptors(); err != nil {
		return o.fail(err)
	}
	done, err := direct(ctx, newRootCommand(o, args), args)
	if !done {
		o = &options{}
		root := newRootCommand(o, args)
		root.SetArgs(normalize(root, args))
		err = root.ExecuteContext(ctx)
	}
	if err != nil {
		return o.fail(err)
	}
	o.logWarnings()
	return o.status
}

// leastDescriptors is the least RLIMIT_NOFILE with which a verb can come to an
// error of its own: Go's first timer opens two, and ends the program with a page of
// its own stacks where it cannot.
const leastDescriptors = 8

// enoughDescriptors refuses a limit that is too low.
func enoughDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= leastDescriptors {
		return nil
	}
	return fmt.Errorf("the limit on open files (RLIMIT_NOFILE) is %d, and at least %d are needed: %w", limit.Cur, leastDescriptors, unix.EMFILE)
}
