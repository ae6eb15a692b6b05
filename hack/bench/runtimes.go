package main

import (
	"os"
	"os/exec"
	"path/filepath"
)

// contender is a runtime that is measured.
type contender struct {
	name string
	path string
	// global are the options before the verb that make all do the same: no
	// cgroups, since setting those up depends on the host more than on the
	// runtime.
	global []string
}

// globals are the options by the runtime's name.
var globals = map[string][]string{
	"homerun": {"--cgroup-manager=disabled"},
	"crun":    {"--cgroup-manager=disabled"},
	"runc":    {"--rootless=true"},
}

// findRuntimes looks in bin/ before PATH, and in sbin, where runc is.
func findRuntimes(names []string) []contender {
	var found []contender
	for _, name := range names {
		if path, ok := find(name); ok {
			base := filepath.Base(name)
			found = append(found, contender{name: base, path: path, global: globals[base]})
		}
	}
	return found
}

func find(name string) (string, bool) {
	for _, dir := range []string{"bin", "/usr/local/bin", "/usr/bin", "/usr/sbin"} {
		path := filepath.Join(dir, name)
		if filepath.IsAbs(name) {
			path = name
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			path, err = filepath.Abs(path)
			return path, err == nil
		}
	}
	path, err := exec.LookPath(name)
	return path, err == nil
}
