package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// inMachine measures once for each user, in a machine of its own.
func inMachine(o options) (results, error) {
	var all results
	for _, user := range o.users {
		r, err := asUser(o, user)
		if err != nil {
			return results{}, fmt.Errorf("as %s: %w", user, err)
		}
		r.Rows = append(all.Rows, r.Rows...)
		all = r
	}
	return all, nil
}

func asUser(o options, user string) (r results, err error) {
	cmd, err := machine(o, user)
	if err != nil {
		return r, err
	}
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("hack/machine: %w", err)
	}
	return r, json.Unmarshal(out, &r)
}

// machine is the command that runs this program in the machine.
func machine(o options, user string) (*exec.Cmd, error) {
	program := filepath.Join(o.programs, "bench")
	if err := copyFile("/proc/self/exe", program); err != nil {
		return nil, err
	}
	// No overlay is at /var/tmp, and no tmpfs that is nosuid.
	args := []string{"run", "--native", "--user", user, "--env", "TMPDIR=/var/tmp", "--timeout", "3600", "--share", o.programs}
	for _, path := range o.runtimes {
		if _, after, ok := strings.Cut(path, "="); ok {
			path = after
		}
		// A path is of the host, if the host has it.
		if _, err := os.Stat(path); err == nil && filepath.IsAbs(path) && !strings.HasPrefix(path, "/usr/") {
			args = append(args, "--share", filepath.Dir(path))
		}
	}
	args = append(args, "--", program, "-json", "-place", "here", "-programs", o.programs, "-cpus", o.cpus, "-growth", o.growth,
		"-n", strconv.Itoa(o.rounds))
	for name, list := range map[string][]string{"verbs": o.verbs, "cgroups": o.cgroups, "configs": o.configs, "runtimes": o.runtimes} {
		args = append(args, "-"+name, strings.Join(list, ","))
	}
	cmd := exec.Command("hack/machine", args...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}
