// Package siblings finds the programs that come with homerun: beside its own, or in its
// libexec directory, never through a PATH (CVE-2026-84042).
package siblings

import (
	"os"
	"path/filepath"
)

// Find finds a helper by its file name, given the path of homerun's own program. The
// path is empty when there is none at the places.
func Find(program, name string) (path string, places []string) {
	dir := filepath.Dir(program)
	places = []string{filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "homerun", name)}
	for _, p := range places {
		if IsProgram(p) {
			return p, places
		}
	}
	return "", places
}

// IsProgram reports whether a file can be executed, by somebody at least.
func IsProgram(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}
