package copytree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/rootfs"
	"golang.org/x/sys/unix"
)

// TestFill: directories, and what programs change in place; not what they replace,
// not what is large, and neither links nor what is no file. Nothing leads out, the
// store is not copied into itself, and it is filled once.
func TestFill(t *testing.T) {
	from := t.TempDir()
	in := func(p string) string { return filepath.Join(from, p) }
	for p, text := range map[string]string{"etc/passwd": "root", "etc/deep/er/conf": "conf", "etc/large": strings.Repeat("x", maxCopied+1), "etc/shadow": "secret",
		"usr/bin/program": "elf", "usr/lib/empty": "", "var/lib/dpkg/status": strings.Repeat("x", maxCopied+1), "var/lib/dpkg/info/list": "list", "var/lib/dpkg/lock": "", "var/cache/lock": "",
		"var/log/apt/term.log": "log", "var/lib/other/data": "data", "srv/closed/file": "closed"} {
		must(t, os.MkdirAll(filepath.Dir(in(p)), 0o755), os.WriteFile(in(p), []byte(text), 0o644))
	}
	to := in("srv/store")
	must(t, os.Symlink("/etc", in("etc/link")), unix.Mkfifo(in("etc/pipe"), 0o644), os.Mkdir(in("var/tmp"), 0o700), os.Chmod(in("var/tmp"), os.ModeSticky|0o777),
		os.Chmod(in("etc/shadow"), 0o200), os.Chmod(in("etc/deep/er/conf"), 0o666), os.Chmod(in("srv/closed"), 0o311))
	defer os.Chmod(in("srv/closed"), 0o755)
	layers := []string{"etc", "srv", "usr", "var", "gone"}
	for _, p := range layers {
		must(t, os.MkdirAll(filepath.Join(to, rootfs.UpperPath(p)), 0o755))
	}
	o := Options{Layers: layers}
	if err := Copy(t.Context(), open(t, from), open(t, to), o); err != nil {
		t.Fatal(err)
	}
	upper := func(p string) string {
		top, rest, _ := strings.Cut(p, "/")
		return filepath.Join(to, rootfs.UpperPath(top), rest)
	}
	for p, want := range map[string]string{"etc/passwd": "root", "etc/deep/er/conf": "conf", "var/lib/dpkg/status": strings.Repeat("x", maxCopied+1), "var/lib/dpkg/lock": "", "var/cache/lock": "", "var/log/apt/term.log": "log"} {
		if got, err := os.ReadFile(upper(p)); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", p, len(got), err)
		}
	}
	for _, p := range []string{"etc/large", "etc/link", "etc/pipe", "usr/bin/program", "usr/lib/empty", "var/lib/dpkg/info/list", "var/lib/other/data", "srv/closed/file", "srv/store"} {
		if _, err := os.Lstat(upper(p)); err == nil && !(os.Getuid() == 0 && strings.HasPrefix(p, "srv/closed")) {
			t.Errorf("%s is in the store", p)
		}
	}
	for p, want := range map[string]os.FileMode{"usr/bin": 0o755, "var/lib/other": 0o755, "var/tmp": os.ModeSticky | 0o777, "srv/closed": 0o311} {
		if st, err := os.Stat(upper(p)); err != nil || st.Mode() != os.ModeDir|want {
			t.Errorf("%s: %v, %v", p, st.Mode(), err)
		}
	}
	if st, err := os.Stat(upper("etc/deep/er/conf")); err != nil || st.Mode() != 0o666 { // whatever this process's umask is
		t.Errorf("what everybody writes: %v, %v", st.Mode(), err)
	}
	if st, err := os.Stat(upper("etc/shadow")); err != nil || st.Mode() != 0o200 || os.Getuid() != 0 && st.Size() != 0 {
		t.Errorf("what cannot be read: %v, %v", st, err)
	}
	must(t, os.Remove(upper("etc/passwd")))
	if err := Copy(t.Context(), open(t, from), open(t, to), o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(upper("etc/passwd")); err == nil {
		t.Error("filled again")
	}
	must(t, os.Remove(filepath.Join(to, rootfs.Filled))) // as if it had been interrupted
	if err := Copy(t.Context(), open(t, from), open(t, to), o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(upper("etc/passwd")); err != nil {
		t.Error(err)
	}
}
