package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"

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

// plant joins a keyring of a name that others may guess, opens it to everybody, puts
// a key into it, and waits.
func plant(name string) {
	runtime.LockOSThread()
	id, err := unix.KeyctlJoinSessionKeyring(name)
	if err == nil {
		_, err = unix.AddKey("user", "secret", []byte("planted"), id)
	}
	if err == nil {
		err = unix.KeyctlSetperm(id, 0x3f3f3f3f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("waiting")
	_, _ = io.Copy(io.Discard, os.Stdin)
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
