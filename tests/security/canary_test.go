package security

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// canary is a tree of the host that no container may touch. It has a file for
// every name that a runtime is known to look for.
type canary struct {
	dir, before string
}

func newCanary(t testing.TB) *canary {
	t.Helper()
	c := &canary{dir: w.path("canary" + fmt.Sprint(w.ids.Add(1)))}
	t.Cleanup(func() { os.RemoveAll(c.dir) })
	for _, d := range []string{"", "pts", "shm", "mqueue", "self/attr", "sys/kernel", "kernel", "fs/cgroup", "dir"} {
		if err := os.MkdirAll(filepath.Join(c.dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(filepath.Join(c.dir, d), 0o777) // everybody could write here
	}
	for _, f := range []string{"null", "zero", "full", "tty", "random", "urandom", "ptmx", "console", "fd.", "passwd", "file",
		"kcore", "self/attr/exec", "self/attr/current", "sys/kernel/core_pattern", "kernel/shm_rmid_forced", "pts/ptmx", "pts/0", "dir/file"} {
		p := filepath.Join(c.dir, f)
		if err := firstError(os.WriteFile(p, []byte("canary "+f), 0o666), os.Chmod(p, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	c.before = c.look(t)
	return c
}

// look describes the tree: names, types, permissions, owners, contents, times
// of change, and whether something is mounted there.
func (c *canary) look(t testing.TB) string {
	return describe(t, c.dir, true)
}

// intact fails when the tree is not as it was.
func (c *canary) intact(t testing.TB, what string) bool {
	t.Helper()
	if after := c.look(t); after != c.before {
		t.Errorf("%s changed the host:\n%s", what, difference(c.before, after))
		return false
	}
	return true
}

// describe lists a tree, one line a file.
func describe(t testing.TB, dir string, contents bool) string {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it went away
		}
		var st unix.Stat_t
		if unix.Lstat(p, &st) != nil {
			return nil
		}
		fmt.Fprintf(&b, "%s %o %d:%d", p, st.Mode, st.Uid, st.Gid)
		if contents {
			fmt.Fprintf(&b, " dev %d ino %d changed %d.%d", st.Dev, st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
			if d.Type().IsRegular() { // reading anything else may wait for ever
				text, _ := os.ReadFile(p)
				fmt.Fprintf(&b, " %x", sha256.Sum256(text))
			}
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR || st.Mode&unix.S_IFMT == unix.S_IFBLK {
			fmt.Fprintf(&b, " rdev %d", st.Rdev)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// difference lists the lines that only one of two texts has.
func difference(before, after string) string {
	count := map[string]int{}
	for _, line := range strings.Split(before, "\n") {
		count[line]--
	}
	for _, line := range strings.Split(after, "\n") {
		count[line]++
	}
	var lines []string
	for line, n := range count {
		switch {
		case n < 0:
			lines = append(lines, "- "+line)
		case n > 0:
			lines = append(lines, "+ "+line)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
