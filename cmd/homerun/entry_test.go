package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestEntry begins at our own entry, on both machines: Go has one processor, and
// arguments and environment are all there.
func TestEntry(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and emulates")
	}
	for machine, emulator := range map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"} {
		t.Run(machine, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "homerun")
			build := exec.Command("go", "build", "-ldflags=-E main.entry", "-o", program, ".")
			build.Env = append(os.Environ(), "GOARCH="+machine, "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			command := []string{program}
			if machine != runtime.GOARCH {
				if _, err := exec.LookPath(emulator); err != nil {
					missing(t, err)
				}
				command = []string{emulator, program}
			}
			begin(t, command)
		})
	}
}

func missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skip(err)
	}
	t.Fatal(err)
}

func begin(t *testing.T, command []string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], "spec", "-b", "/no such/place")...)
	// Go prints its number of processors before it comes to main.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=7", "GODEBUG=schedtrace=100000"}
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("gomaxprocs=1 ")) || !bytes.Contains(out, []byte("/no such/place")) {
		t.Errorf("%v\n%s", err, out)
	}
}
