package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestShort is what each commit sees of a day: docker and containerd, whose shim calls homerun, in one machine for each runtime.
// Podman has its own tests (tests/podman), and the whole day is `make engines`.
func TestShort(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: takes a minute")
	}
	t.Chdir("../..")
	// So that go sees when one of these has changed, and does not answer out of its cache.
	_, err := os.ReadDir("tests/engines")
	for _, name := range []string{"bin/homerun", "bin/homerun-seccomp"} {
		if err == nil {
			_, err = os.Stat(name)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	d := day{out: &out, results: t.TempDir(), kept: t.TempDir(), group: "^(docker|containerd)$", limit: 5 * time.Minute}
	good, err := d.spend(part{name: "short", user: "root", peer: "runc", scripts: "docker,containerd"})
	if err != nil && strings.Contains(err.Error(), "exit status 125") && os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skipf("needs the test machine: %v", err)
	}
	if err != nil || !good {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Logf("%s", out.String())
}
