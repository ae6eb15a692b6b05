package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// makeTree makes a hostile tree from lines: "d/" is a directory, "f" a file,
// "a => b" a symbolic link, "p|" a FIFO, "s=" a socket.
func makeTree(t *testing.T, lines ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, line := range lines {
		if err := makeEntry(root, line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return root
}

func makeEntry(root, line string) error {
	name, text, isLink := strings.Cut(line, " => ")
	path := filepath.Join(root, strings.TrimRight(name, "/|="))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch {
	case isLink:
		return os.Symlink(text, path)
	case strings.HasSuffix(name, "/"):
		return os.MkdirAll(path, 0o755)
	case strings.HasSuffix(name, "|"):
		return unix.Mkfifo(path, 0o600)
	case strings.HasSuffix(name, "="):
		return makeSocket(path)
	}
	return os.WriteFile(path, nil, 0o640)
}

func makeSocket(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
}

func openRoot(t *testing.T, root string) int {
	t.Helper()
	fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestTarget(t *testing.T) {
	root := openRoot(t, makeTree(t,
		"etc/passwd", "run/lock/", "usr/lib/", "p|", "d/p|", "s=", "d/s=",
		"lib => usr/lib",
		"abs => /usr",
		"var/run => ../run",
		"var/climb => ../../../../../etc",
		"root => /",
		"etc/resolv.conf => ../run/systemd/resolve/stub-resolv.conf",
		"etc/mtab => /proc/self/mounts",
		"a => b", "b => a",
		"self => self/x",
		"chain1 => chain2", "chain2 => chain3/", "chain3 => /d",
		"d/up => ..",
		"gone => missing/../etc",
		"gone2 => /missing/x",
		"magic => /proc/self/fd/0",
		"pipe => pipe:[123]",
		"out => ../../../../../../etc/passwd",
		"tofifo => d/p",
		"over => etc/passwd/x",
	))
	for _, test := range []struct {
		destination string
		resolved    string
		kind        host.Kind
	}{
		{"/", ".", host.Directory},
		{"", ".", host.Directory},
		{"//./", ".", host.Directory},
		{"/..", ".", host.Directory},
		{"/etc", "etc", host.Directory},
		{"etc/", "etc", host.Directory},
		{"//etc//./passwd", "etc/passwd", host.Regular},
		{"/etc/../run", "run", host.Directory},
		{"/../../etc/passwd", "etc/passwd", host.Regular},
		{"/p", "p", host.FIFO},
		{"/d/p", "d/p", host.FIFO},
		{"/tofifo", "d/p", host.FIFO},
		{"/s", "s", host.Socket},
		{"/d/s", "d/s", host.Socket},
		{"/lib", "usr/lib", host.Directory},
		{"/lib/x/y", "usr/lib/x/y", host.Missing},
		{"/abs/lib", "usr/lib", host.Directory},
		{"/var/run", "run", host.Directory},
		{"/var/run/lock", "run/lock", host.Directory},
		{"/var/climb/passwd", "etc/passwd", host.Regular},
		{"/out", "etc/passwd", host.Regular},
		{"/root", ".", host.Directory},
		{"/root/root/etc", "etc", host.Directory},
		{"/etc/resolv.conf", "run/systemd/resolve/stub-resolv.conf", host.Missing},
		{"/etc/mtab", "proc/self/mounts", host.Missing},
		{"/chain1", "d", host.Directory},
		{"/chain1/up/etc", "etc", host.Directory},
		{"/gone", "etc", host.Directory},
		{"/gone/passwd", "etc/passwd", host.Regular},
		{"/gone2/y", "missing/x/y", host.Missing},
		{"/new", "new", host.Missing},
		{"/new/deep/er", "new/deep/er", host.Missing},
		{"/new/../etc", "etc", host.Directory},
		{"/magic", "proc/self/fd/0", host.Missing},
		{"/pipe", "pipe:[123]", host.Missing},
		{"/etc/passwd/x", "etc/passwd/x", host.Missing},
		{"/over", "etc/passwd/x", host.Missing},
	} {
		got, err := resolve(root, test.destination)
		if err != nil || got.Resolved != test.resolved || got.Kind != test.kind {
			t.Errorf("resolve(%q) = %+v, %v; want %q, %q", test.destination, got, err, test.resolved, test.kind)
		}
		counts(t, test.destination, got)
	}
	for _, circle := range []string{"/a", "/a/x", "/b/../b", "/self"} {
		if got, err := resolve(root, circle); !errors.Is(err, unix.ELOOP) {
			t.Errorf("resolve(%q) = %+v, %v; want ELOOP", circle, got, err)
		}
	}
}

// counts: what is measured of a destination is not taken for a fact that is lacking.
func counts(t *testing.T, destination string, target host.Target) {
	t.Helper()
	n := host.Needs{Rootfs: "/rootfs", Targets: []host.Destination{{Path: destination, Place: "here"}}}
	facts := host.Facts{Rootfs: host.Source{Kind: host.Directory}, Targets: map[string]host.Target{destination: target}}
	if fact, _ := n.Missing(&facts); fact != "" {
		t.Errorf("what is measured of %q counts as not there: %s", destination, fact)
	}
}

// TestTargetMagic: magic links of a real /proc are text to us.
func TestTargetMagic(t *testing.T) {
	root := openRoot(t, "/")
	for _, path := range []string{"/proc/self/root/etc", "/proc/self/cwd/x"} {
		got, err := resolve(root, path)
		if err != nil {
			t.Errorf("resolve(%q): %v", path, err)
		}
		if strings.HasPrefix(got.Resolved, "proc/") {
			t.Errorf("resolve(%q) = %+v; the link was followed as magic", path, got)
		}
	}
}

// TestTargetDevices needs no mknod: the host's /dev has devices.
func TestTargetDevices(t *testing.T) {
	root := openRoot(t, "/dev")
	if got, err := resolve(root, "/null"); err != nil || got.Kind != host.Character {
		t.Errorf("/null: %+v, %v", got, err)
	}
}

// TestTargetDenied: what cannot be searched is not reported as missing.
func TestTargetDenied(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root may search everything; the unprivileged run of this test is the one that counts")
		return
	}
	dir := makeTree(t, "closed/x")
	if err := os.Chmod(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "closed"), 0o700) })
	if got, err := resolve(openRoot(t, dir), "/closed/x"); !errors.Is(err, unix.EACCES) {
		t.Errorf("got %+v, %v; want EACCES", got, err)
	}
}

// TestTargetsCovered: what an earlier mount covers is not looked at, also when
// only a link shows that it is covered.
func TestTargetsCovered(t *testing.T) {
	root := makeTree(t, "run/x", "var/run => ../run", "data/", "link => data")
	n := host.Needs{Rootfs: root}
	for _, path := range []string{"/run", "/run/x", "/runner", "/var/run/x", "/link", "/data/sub", "/link/sub", "/run", "/run/../etc"} {
		n.Targets = append(n.Targets, host.Destination{Path: path, Mount: true})
	}
	// Where nothing is mounted, nothing is covered.
	n.Targets = append(n.Targets, host.Destination{Path: "/var"}, host.Destination{Path: "/var/lib"})
	f := answers(t, n)
	covered := host.Target{Unknown: host.Covered}
	want := map[string]host.Target{
		"/run":        {Resolved: "run", Kind: host.Directory, Mode: 0o755},
		"/runner":     {Resolved: "runner"},
		"/link":       {Resolved: "data", Kind: host.Directory, Mode: 0o755},
		"/run/../etc": {Resolved: "etc"},
		"/var":        {Resolved: "var", Kind: host.Directory, Mode: 0o755},
		"/var/lib":    {Resolved: "var/lib"},
		"/run/x":      covered,
		"/var/run/x":  covered,
		"/data/sub":   covered,
		"/link/sub":   covered,
	}
	if len(f.Targets) != len(want) {
		t.Errorf("got %v", f.Targets)
	}
	for destination, target := range want {
		if f.Targets[destination] != target {
			t.Errorf("%s: got %+v; want %+v", destination, f.Targets[destination], target)
		}
	}
}

// TestTargetRace swaps a directory for a link that leads out while looking. No
// answer may describe the file outside, whose mode gives it away.
func TestTargetRace(t *testing.T) {
	outside := makeTree(t, "secret")
	if err := os.Chmod(filepath.Join(outside, "secret"), 0o604); err != nil {
		t.Fatal(err)
	}
	dir := makeTree(t, "d/", "go => "+outside)
	root := openRoot(t, dir)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		swap(dir, stop)
	}()
	for range 5000 {
		got, err := resolve(root, "/d/secret")
		if err == nil && got.Mode == 0o604 {
			t.Errorf("looked outside: %+v", got)
			break
		}
	}
	close(stop)
	<-done
}

func swap(dir string, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
			unix.Renameat2(unix.AT_FDCWD, dir+"/d", unix.AT_FDCWD, dir+"/go", unix.RENAME_EXCHANGE)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/", "/a/../b", "l/l/x", "//", "...", "m/../../d", "\x00"} {
		f.Add(seed)
	}
	dir := f.TempDir()
	for _, line := range []string{"d/e/f", "l => d/../l2", "l2 => /d/e", "m => /none/../d", "c => c"} {
		if err := makeEntry(dir, line); err != nil {
			f.Fatal(err)
		}
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { unix.Close(root) })
	f.Fuzz(func(t *testing.T, destination string) {
		got, err := resolve(root, destination)
		if err != nil {
			return
		}
		if got.Resolved == "" || got.Resolved[0] == '/' || hasDotDot(got.Resolved) {
			t.Errorf("resolve(%q) = %+v", destination, got)
		}
		if got.Kind == host.Missing {
			return
		}
		// What exists is reached by its own name without links.
		if st, err := look(root, got.Resolved); err != nil || kindOf(st.Mode) != got.Kind {
			t.Errorf("resolve(%q) = %+v, which is %o, %v", destination, got, st.Mode, err)
		}
	})
}
