package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// Theory of operation
//
// run -d --rm leaves a process that waits for the program and then deletes the
// container: homerun itself, as `delete --wait`, in a session of its own. It is told
// which init is meant: the id may be another container's before it looks.

// removeLater starts it.
func (o *options) removeLater(id, init string) error {
	args := []string{"delete", "--wait", "--init", init, id}
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
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ownSlack() // it runs hooks
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("--rm: start what removes the container: %w", err)
	}
	return cmd.Process.Release()
}
