package store

import (
	"os"
	"os/exec"
	"testing"
)

// TestHolderEnded: a process that has locked a directory, has ended, and left the lock to
// another is not its holder: whoever has its number by now would be ended.
func TestHolderEnded(t *testing.T) {
	_, d := scratch(t)
	d.Unlock()
	f, err := os.Open(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	child := exec.Command("flock", "-x", "3")
	child.ExtraFiles = []*os.File{f}
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	if pid := d.Holder(); pid != 0 {
		t.Errorf("locked by %d, want nobody: %d has ended", pid, child.Process.Pid)
	}
}

// TestHolder: who has a container's directory locked, and nobody else, not even who waits.
func TestHolder(t *testing.T) {
	root, d := scratch(t)
	seen, err := root.Peek("c")
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Close()
	if pid := seen.Holder(); pid != os.Getpid() {
		t.Errorf("locked by %d, want %d", pid, os.Getpid())
	}
	d.Unlock()
	if pid := seen.Holder(); pid != 0 {
		t.Errorf("locked by %d, want nobody", pid)
	}
	const file = "00:2d:77"
	for locks, want := range map[string]int{
		"": 0,
		"1: POSIX  ADVISORY  WRITE 5 00:2d:77 0 EOF\n":                                                0,
		"1: FLOCK  ADVISORY  WRITE 5 00:2d:777 0 EOF\n2: FLOCK  ADVISORY  WRITE 6 00:2d:77 0 EOF\n":   6,
		"1: -> FLOCK  ADVISORY  WRITE 5 00:2d:77 0 EOF\n":                                             0,
		"1: FLOCK  ADVISORY  WRITE 7 00:2d:77 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 5 00:2d:77 0 EOF\n": 7,
		"1: FLOCK  ADVISORY  WRITE -1 00:2d:77 0 EOF\n":                                               0,
	} {
		if pid := holder(locks, file); pid != want {
			t.Errorf("%q: %d, want %d", locks, pid, want)
		}
	}
}
