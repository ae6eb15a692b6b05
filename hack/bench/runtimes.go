package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// contender is a runtime that is measured.
type contender struct{ name, path string }

// findRuntimes looks in bin/ before PATH, and in sbin, where runc is.
func findRuntimes(names []string) []contender {
	var found []contender
	for _, name := range names {
		name, place, given := strings.Cut(name, "=")
		if !given {
			place = name
		}
		if path, ok := find(place); ok {
			found = append(found, contender{name: filepath.Base(name), path: path})
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
	if err == nil {
		path, err = filepath.Abs(path)
	}
	return path, err == nil
}
