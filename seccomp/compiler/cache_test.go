package compiler

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/bpf"
)

func answer(t *testing.T, k uint32) []byte {
	t.Helper()
	b, err := seccomp.EncodeOutput(&seccomp.Filter{Program: bpf.Bytes([]bpf.Instruction{{Op: bpf.RetK, K: k}}), Flags: seccomp.FlagLog}, 2<<16|5<<8|4)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newCache(t *testing.T) (cache, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cache")
	c := openCache(dir, true)
	if c.fd < 0 {
		t.Fatal("no cache")
	}
	t.Cleanup(c.close)
	return c, dir
}

func TestCacheKeepsAndDistinguishes(t *testing.T) {
	c, _ := newCache(t)
	one, two := material([]byte("one"), "h", "k"), material([]byte("two"), "h", "k")
	c.put(one, answer(t, bpf.Allow))
	f := c.get(one)
	if f == nil || f.Flags != seccomp.FlagLog || f.Library != "2.5.4" {
		t.Fatalf("%+v", f)
	}
	if c.get(two) != nil {
		t.Error("another profile's filter")
	}
	// A collision of names is a miss.
	if err := os.Link(fmt.Sprintf("/proc/self/fd/%d/%s", c.fd, keyOf(one)), fmt.Sprintf("/proc/self/fd/%d/%s", c.fd, keyOf(two))); err != nil {
		t.Fatal(err)
	}
	if c.get(two) != nil {
		t.Error("another profile's filter after a collision")
	}
}

func TestMaterialIsUnambiguous(t *testing.T) {
	seen := map[string]string{}
	for _, p := range [][3]string{{"a", "b", "c"}, {"", "ab", "c"}, {"a", "bc", ""}, {"abc", "", ""}, {"a", "", "bc"}, {"c", "a", "b"}} {
		k := keyOf(material([]byte(p[0]), p[1], p[2]))
		if other, ok := seen[k]; ok || len(k) != 16 {
			t.Errorf("%v and %v: %s", p, other, k)
		}
		seen[k] = fmt.Sprint(p)
	}
}

func TestFoldSeesEveryBit(t *testing.T) {
	b := make([]byte, 67)
	want := fold(b)
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if fold(b) == want {
			t.Errorf("bit %d", i)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	if fold(b[:66]) == want {
		t.Error("length")
	}
}

func TestDamagedEntriesAreMisses(t *testing.T) {
	c, dir := newCache(t)
	m := material([]byte("p"), "h", "k")
	path := filepath.Join(dir, keyOf(m))
	c.put(m, answer(t, bpf.Allow))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(good) * 8 {
		bad := append([]byte(nil), good...)
		bad[i/8] ^= 1 << (i % 8)
		if decodeEntry(bad, m) != nil {
			t.Errorf("bit %d", i)
		}
	}
	for n := range good {
		if decodeEntry(good[:n], m) != nil {
			t.Errorf("cut to %d bytes", n)
		}
	}
	if decodeEntry(append(good, 0), m) != nil {
		t.Error("longer")
	}
}

func TestForeignEntriesAreMisses(t *testing.T) {
	m := material([]byte("p"), "h", "k")
	for name, spoil := range map[string]func(dir, path string) error{
		"readable by the group": func(_, path string) error { return os.Chmod(path, 0o640) },
		"writable by others":    func(_, path string) error { return os.Chmod(path, 0o602) },
		"symbolic link": func(dir, path string) error {
			os.Rename(path, dir+"/x")
			return os.Symlink("x", path)
		},
		"directory": func(_, path string) error {
			os.Remove(path)
			return os.Mkdir(path, 0o700)
		},
		"long": func(_, path string) error { return os.Truncate(path, maxEntry+1) },
		"somebody else's": func(_, path string) error {
			if os.Geteuid() != 0 {
				return os.Chmod(path, 0)
			}
			return os.Chown(path, 1, 1)
		},
	} {
		c, dir := newCache(t)
		c.put(m, answer(t, bpf.Allow))
		if c.get(m) == nil {
			t.Fatal("nothing kept")
		}
		if err := spoil(dir, filepath.Join(dir, keyOf(m))); err != nil {
			t.Fatal(err)
		}
		if c.get(m) != nil {
			t.Errorf("%s: a hit", name)
		}
	}
}

func TestForeignDirectoriesAreNotUsed(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	link := filepath.Join(dir, "link")
	file := filepath.Join(dir, "file")
	os.Mkdir(open, 0o700)
	os.Chmod(open, 0o750)
	os.Mkdir(filepath.Join(dir, "private"), 0o700)
	os.Symlink("private", link)
	os.WriteFile(file, nil, 0o600)
	for _, path := range []string{"", open, link, file, filepath.Join(dir, "a", "b", "c")} {
		c := openCache(path, true)
		if c.fd >= 0 {
			t.Errorf("%s is used", path)
		}
		c.put([]byte("m"), []byte("x"))
		if c.get([]byte("m")) != nil {
			t.Error("hit without a cache")
		}
		c.close()
	}
}

func TestCacheIsBounded(t *testing.T) {
	c, dir := newCache(t)
	if err := os.WriteFile(filepath.Join(dir, ".tmp-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range maxEntries + 20 {
		c.put(material(fmt.Append(nil, i), "h", "k"), answer(t, bpf.Allow))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != maxEntries {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if c.get(material(fmt.Append(nil, maxEntries+19), "h", "k")) == nil {
		t.Error("the newest entry is gone")
	}
}

func FuzzDecodeEntry(f *testing.F) {
	m := material([]byte("p"), "h", "k")
	out, _ := seccomp.EncodeOutput(&seccomp.Filter{Program: make([]byte, 8)}, 0)
	f.Add(encodeEntry(m, out))
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeEntry(b, m)
		if filter, err := seccomp.DecodeOutput(b); err == nil {
			p, err := bpf.Parse(filter.Program)
			if err == nil {
				err = bpf.Check(p)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
}
