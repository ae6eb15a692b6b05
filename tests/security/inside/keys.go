package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// key reads a key of the session keyring.
func key(name string) string {
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", name, 0)
	if err != nil {
		return outcome(err)
	}
	text := make([]byte, 100)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, text, 0)
	if err != nil {
		return outcome(err)
	}
	return string(text[:n])
}

// orphans leaves some processes to whoever takes them, and waits.
func orphans() {
	for range 20 {
		if err := exec.Command("/inside", "orphan").Run(); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("waiting")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(7)
}
