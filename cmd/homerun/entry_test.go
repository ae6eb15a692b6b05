package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// begin has the program wait for a reader of its log until Go has printed its
// number of processors, which it does in its own time.
func begin(t *testing.T, command []string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log := filepath.Join(t.TempDir(), "log")
	if err := unix.Mkfifo(log, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], "--log", log, "spec", "-b", "/no such/place")...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=7", "GODEBUG=schedtrace=10"}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for _, want := range []string{"/no such/place", "gomaxprocs=1 "} {
		found := false
		for !found && lines.Scan() {
			found = strings.Contains(lines.Text(), want)
		}
		if !found {
			t.Errorf("nothing has %q", want)
		}
	}
	cancel()
	cmd.Wait()
}
