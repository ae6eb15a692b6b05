package probe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
	"golang.org/x/sys/unix"
)

func TestFullCgroup(t *testing.T) {
	root := t.TempDir()
	for dir, files := range map[string][2]string{
		"a": {"10", "10"}, "a/b": {"max", "7"}, "a/b/c": {"8", "7"}, "d": {"max", "20"}, "d/over": {"2", "3"}, "e": {"", ""},
	} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"pids.max", "pids.current"} {
			if err := os.WriteFile(filepath.Join(root, dir, name), []byte(files[i]+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for at, want := range map[string]string{
		"/a": "pids.max of the cgroup /a, which is 10,", "/a/b/c": "pids.max of the cgroup /a, which is 10,",
		"/d/over": "pids.max of the cgroup /d/over, which is 2,", "/d": "", "/e": "", "/missing": "", "/": "", "": "",
	} {
		p := Prober{Facts: &host.Facts{}}
		if got := p.fullCgroup(root, at); got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
}

// Without a cgroup at its limit it is the user's.
func TestExplainProcessLimit(t *testing.T) {
	var l unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NPROC, nil, &l); err != nil {
		t.Fatal(err)
	}
	lower := unix.Rlimit{Cur: 12345, Max: l.Max}
	if err := unix.Prlimit(0, unix.RLIMIT_NPROC, &lower, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prlimit(0, unix.RLIMIT_NPROC, &l, nil) }()
	var f host.Process
	ExplainProcessLimit(&f)
	if f.ProcessLimit != "RLIMIT_NPROC, which is 12345," && !strings.HasPrefix(f.ProcessLimit, "pids.max") {
		t.Errorf("got %q", f.ProcessLimit)
	}
}
