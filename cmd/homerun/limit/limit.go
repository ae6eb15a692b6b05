// Package limit gives the process its limit on open files back, which the entry has
// lowered (see cmd/homerun/entry.go), before package syscall looks at it: that raises the
// soft limit to the hard one, and gives programs that are started the one it found.
//
// # Theory of operation
//
// Packages are initialized in the order of their import paths, each when all that it
// imports is ("Program initialization" of the Go specification). This one imports
// nothing, and its path comes before "sync" and "syscall".
package limit

var _ = restore()

// restore sets RLIMIT_NOFILE to the caller's, where the entry ran.
func restore() bool

// Files is the caller's limit on open files, 0 and 0 where the entry did not run.
func Files() (soft, hard uint64)
