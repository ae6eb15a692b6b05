package main

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// headless ends this process's first thread; another one lives until the standard
// input ends.
func headless() {
	runtime.LockOSThread()
	if unix.Gettid() != os.Getpid() {
		fmt.Fprintln(os.Stderr, "this is not the first thread")
		os.Exit(1)
	}
	go func() {
		fmt.Println("waiting")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(7)
	}()
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
}
