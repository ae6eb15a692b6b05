//go:build !cgo

package main

import (
	"fmt"
	"os"
)

// Without cgo there is no libseccomp, and a helper that compiled nothing would
// leave containers unconfined: say what is missing instead.
func main() {
	fmt.Fprintln(os.Stderr, "homerun-seccomp: built without cgo, so without libseccomp: install libseccomp-dev and a C compiler, and run `make build`")
	os.Exit(1)
}
