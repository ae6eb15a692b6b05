package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/homerun-oci/homerun/netns"
)

// safeDirectories are the only ones where programs are looked for: not $PATH,
// the working directory or the container's root, where a payload could have
// put its own (CVE-2026-84042). The last two are NixOS's and Guix's.
func safeDirectories() []string {
	return []string{
		"/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/usr/local/sbin", "/sbin",
		"/run/current-system/sw/bin", "/run/current-system/profile/bin",
	}
}

// safePath is the $PATH of this process and its children: rootlesskit's port
// driver runs ip, sysctl and nft by name.
func safePath() string { return strings.Join(safeDirectories(), ":") }

// find answers the path of a program, or the error that it is not installed.
func find(name string) (string, error) {
	for _, dir := range safeDirectories() {
		path := filepath.Join(dir, name)
		st, err := os.Stat(path)
		if err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0 && st.Mode().Perm()&0o022 == 0 {
			return path, nil
		}
	}
	return "", netns.ExplainMissing(netns.Mode(name), safeDirectories()[:4])
}
