package main

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOwnVersion: what the linker was told counts, not the module's version.
func TestOwnVersion(t *testing.T) {
	defer func(before string) { version = before }(version)
	version = "1.2.3"
	if got := ownVersion(); got != "1.2.3" {
		t.Errorf("version %q", got)
	}
}

// TestEnoughDescriptors: the least limit on open files is enough, and one less is not.
func TestEnoughDescriptors(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }()
	for limit, want := range map[uint64]error{leastDescriptors: nil, leastDescriptors - 1: unix.EMFILE} {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
		if err := enoughDescriptors(); !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", limit, err, want)
		}
	}
}
