// Homerun is an OCI container runtime for people without root.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/homerun-oci/homerun/rootfs/copytree"
	"golang.org/x/sys/unix"
)

// version and commit are set by the linker.
var (
	version = "unknown"
	commit  = ""
)

// ownVersion is the linker's, or where go install has built this, the module's.
func ownVersion() string {
	if b, ok := debug.ReadBuildInfo(); ok && version == "unknown" && b.Main.Version != "" {
		return strings.TrimPrefix(b.Main.Version, "v")
	}
	return version
}

func main() {
	spread()
	ownSlack()
	unsetProcessors()
	leaveIgnored()
	if os.Args[0] == copytree.ProgramName {
		os.Exit(copytree.Program(os.Args))
	}
	ownModes()
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

// leastDescriptors is the least RLIMIT_NOFILE with which homerun does anything, whatever
// the verb: it has more than each plan takes, whose descriptors are from 32 on, and a hook
// or a network helper beside it. With less some verbs would begin and not come to an end.
const leastDescriptors = 64

// enoughDescriptors refuses a limit that is too low.
func enoughDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= leastDescriptors {
		return nil // what else is wrong the kernel will say
	}
	return fmt.Errorf("the limit on open files (RLIMIT_NOFILE) is %d, and homerun needs %d: %w", limit.Cur, leastDescriptors, unix.EMFILE)
}
