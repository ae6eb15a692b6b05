// Package beside puts the helper for seccomp profiles next to a homerun that a test
// has built: `run --rootfs` gives every container a profile.
package beside

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Seccomp puts homerun-seccomp into dir: the one next to $HOMERUN, or that of make
// build; where there is none yet it is built. repository is the way to its root.
func Seccomp(dir, repository string) error {
	const name = "homerun-seccomp"
	from := filepath.Join(repository, "bin", name)
	if given := os.Getenv("HOMERUN"); given != "" {
		from = filepath.Join(filepath.Dir(given), name)
	}
	to := filepath.Join(dir, name)
	text, err := os.ReadFile(from)
	if err == nil {
		return os.WriteFile(to, text, 0o755)
	}
	if out, err := exec.Command("go", "build", "-o", to, filepath.Join(repository, "cmd", name)).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return nil
}
