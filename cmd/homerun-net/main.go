// Homerun-net connects one container to the network for people without root.
//
// It runs pasta or slirp4netns for the container's network namespace, publishes
// ports, and lives as long as the container's init. Package netns defines what
// it reads and answers; package netns/client starts it.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	// A parent-death signal is sent when the thread that forked ends, not the
	// process: children that get one are started from here, and the thread
	// that the main goroutine is locked to lasts as long as the process.
	runtime.LockOSThread()
	os.Exit(dispatch(os.Args[1:]))
}

// dispatch chooses between the helper and what it runs in the container's
// namespaces.
func dispatch(args []string) int {
	if len(args) == 0 {
		return serve()
	}
	if args[0] == insideVerb {
		return inside(args[1:])
	}
	fmt.Fprintln(os.Stderr, "homerun-net is started by homerun; its request comes on descriptor 3, the answer goes to 4")
	return 2
}
