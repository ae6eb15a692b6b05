package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/homerun-oci/homerun/container"
)

// Theory of operation
//
// run -d --rm leaves a process that waits for the program and then deletes the
// container: homerun itself, as `delete --wait`, in a session of its own. It goes by the
// id. It deletes nothing that runs, so another container that has got the id by then is
// safe from it while it runs; one that has ended within that moment is not.

// removeLater starts it.
func (o *options) removeLater(id string) error {
	args := []string{"delete", "--wait", id}
	if o.root != "" {
		root, err := filepath.Abs(o.root)
		if err != nil {
			return err
		}
		args = append([]string{"--root", root}, args...)
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "homerun"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("--rm: start what removes the container: %w", err)
	}
	return cmd.Process.Release()
}

// afterEnd makes a deletion wait for the program first.
func afterEnd(remove func(context.Context, string) error, r *container.Runtime) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		_, err := r.Wait(ctx, id)
		if err != nil && !errors.Is(err, container.ErrExitUnknown) && !errors.Is(err, container.ErrNotRunning) {
			return err
		}
		return remove(ctx, id)
	}
}
