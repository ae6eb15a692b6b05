// Package first has what is done before other packages are initialized: the main goroutine's
// stack grows to what a verb takes, and the process gets its limit on open files back, which
// the entry has lowered (see cmd/homerun/entry.go).
//
// # Theory of operation
//
// Packages are initialized in the order of their import paths, each when all that it
// imports is ("Program initialization" of the Go specification). This one imports
// nothing, and its path comes before most: before "sync" and "syscall", the latter of which
// looks at the limit, raises the soft one to the hard one, and gives programs that are started
// the one it found.
//
// A stack that grows in steps is walked and copied for each. At once, and while nothing is
// on it, that costs least: without it run of /bin/true takes 1.05 times as long (medians of
// 250 rounds in random order, idle, 2026-11), and nothing breaks.
package first

var _ = prepare()

// prepare does both.
func prepare() bool {
	growStack()
	return restore()
}

// growStack has a frame of 48 KiB, for which the stack becomes one of 64 KiB.
func growStack()

// restore sets RLIMIT_NOFILE to the caller's, where the entry ran.
func restore() bool

// Files is the caller's limit on open files, 0 and 0 where the entry did not run.
func Files() (soft, hard uint64)
