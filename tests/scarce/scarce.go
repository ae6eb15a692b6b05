// Package scarce lets a test do something while this process lacks what it usually has.
// No other test of the process may run meanwhile.
package scarce

import (
	"os"

	"golang.org/x/sys/unix"
)

// Descriptors calls do while this process can open no more than so many files. It panics
// if that cannot be had.
func Descriptors(left int, do func()) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		panic(err)
	}
	limit := unix.Rlimit{Cur: next(left), Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		panic(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }()
	do()
}

// next is the number that a file gets when so many others are opened before it.
func next(others int) uint64 {
	f, err := os.Open("/")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if others == 0 {
		return uint64(f.Fd())
	}
	return next(others - 1)
}
