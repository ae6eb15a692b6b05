package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// outDir is shared with the machine, as all of the repository.
const outDir = ".out/smallest"

// onHost builds and starts the machine.
func onHost() error {
	dir, err := filepath.Abs(outDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, args := range builds(dir) {
		if err := command(args...); err != nil {
			return err
		}
	}
	return inMachine(filepath.Join(dir, "smallest"), "measure", dir)
}

// inMachine tries again when the machine dies (its status is 125): User-Mode
// Linux 7.2 now and then panics when memory ends in the middle of execve.
func inMachine(args ...string) (err error) {
	for range 3 {
		err = command(append([]string{"hack/machine", "run", "--timeout", "900", "--"}, args...)...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 125 {
			break
		}
	}
	return err
}

// builds are the commands that make homerun, this program, and the programs
// for containers: without a library, so that a container costs what its
// runtime costs.
func builds(dir string) [][]string {
	bare := []string{"gcc", "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "hack/bench/payload.c"}
	return [][]string{
		{"env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags=-s -w -E main.entry", "-o", filepath.Join(dir, "homerun"), "./cmd/homerun"},
		{"env", "CGO_ENABLED=0", "go", "build", "-o", filepath.Join(dir, "smallest"), "./hack/smallest"},
		append(bare, "-o", filepath.Join(dir, "true")),
		append(bare, "-DPAUSE", "-o", filepath.Join(dir, "pause")),
	}
}

func command(args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}
