package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestEntry begins at our own entry, on all machines: Go has one processor, and
// arguments and environment are all there.
func TestEntry(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and emulates")
	}
	for machine, emulator := range map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64", "riscv64": "qemu-riscv64"} {
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

// TestLowLimits: what Go cannot start with is said in one line. The bounds of
// entry are tried on both sides.
func TestLowLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("builds")
	}
	program := filepath.Join(t.TempDir(), "homerun")
	build := exec.Command("go", "build", "-ldflags=-E main.entry", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const low = "homerun: a limit is too low to start at all (ulimit -v, -d or -u)\n"
	for limit, want := range map[string]string{"-v 704511": low, "-d 32767": low, "-v 900000": "", "-d 90000": ""} {
		out, err := exec.Command("sh", "-c", "ulimit "+limit+`; exec "$0" --version >/dev/null`, program).CombinedOutput()
		if string(out) != want || (err == nil) != (want == "") {
			t.Errorf("ulimit %s: %v: %q", limit, err, out)
		}
	}
	if os.Getuid() != 0 {
		return // the user's other processes count too
	}
	if out, err := exec.Command("bash", "-c", `ulimit -u 3; exec "$0" --version`, program).CombinedOutput(); err != nil {
		t.Errorf("root: %v: %s", err, out)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(program)), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", `ulimit -u 3; exec "$0" --version`, program)
	cmd.SysProcAttr = &unix.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	if out, err := cmd.CombinedOutput(); err == nil || string(out) != low {
		t.Errorf("ulimit -u: %v: %s", err, out)
	}
}

func missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// begin has the program wait for its standard input until Go has printed its number
// of processors, which it does in its own time.
func begin(t *testing.T, command []string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], "--root", t.TempDir(), "update", "-r", "-", "nosuch")...)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=7", "GODEBUG=schedtrace=10"}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	found := false
	for !found && lines.Scan() {
		found = strings.Contains(lines.Text(), "gomaxprocs=1 ")
	}
	if !found {
		t.Error("nothing says that there is one processor")
	}
	cancel()
	cmd.Wait()
}
