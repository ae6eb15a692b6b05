package main

import (
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
	return command("hack/machine", "run", "--timeout", "900", "--", filepath.Join(dir, "smallest"), "measure", dir)
}

// builds are the commands that make homerun, this program, and the programs
// for containers: without a library, so that a container costs what its
// runtime costs.
func builds(dir string) [][]string {
	bare := []string{"gcc", "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "hack/bench/payload.c"}
	return [][]string{
		{"env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "homerun"), "./cmd/homerun"},
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
