package network

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// show are the arguments that print both files in a container on a root.
func show(root string, flags ...string) []string {
	args := append([]string{"run", "--rootfs", root}, flags...)
	return append(args, "--", "sh", "-c", "cat /etc/hosts; echo --; cat /etc/resolv.conf")
}

func TestFiles(t *testing.T) {
	if !ownHost(t) {
		return
	}
	const loopback = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	const search = "search example.test\n"
	tests := map[string]struct {
		flags []string
		want  string
	}{
		// Resolvers on the host's loopback are asked through the driver.
		"pasta": {[]string{"--net", "pasta"}, loopback + "10.0.2.100\thomerun\nfd00::100\thomerun\n" +
			"192.0.2.1\thost.containers.internal host.docker.internal\n--\nnameserver 10.0.2.3\n" + search},
		"pasta without IPv6": {[]string{"--net", "pasta:ipv6=false"}, loopback + "10.0.2.100\thomerun\n" +
			"192.0.2.1\thost.containers.internal host.docker.internal\n--\nnameserver 10.0.2.3\n" + search},
		"slirp4netns": {[]string{"--net", "slirp4netns:ipv6=false", "--hostname", "box"}, loopback + "10.0.2.100\tbox\n" +
			"192.0.2.1\thost.containers.internal host.docker.internal\n--\nnameserver 10.0.2.3\n" + search},
		"subnet": {[]string{"--net", "slirp4netns:ipv6=false,subnet=10.5.0.0/24"}, loopback + "10.5.0.100\thomerun\n" +
			"192.0.2.1\thost.containers.internal host.docker.internal\n--\nnameserver 10.5.0.3\n" + search},
		"dns and hosts": {[]string{"--net", "pasta:ipv6=false", "--dns", "192.0.2.53", "--add-host", "db:10.9.8.7", "--add-host", "me:host-gateway"},
			"10.9.8.7\tdb\n192.0.2.1\tme\n" + loopback + "10.0.2.100\thomerun\n192.0.2.1\thost.containers.internal host.docker.internal\n--\n" +
				"nameserver 192.0.2.53\n" + search},
		"none": {[]string{"--net", "none", "--add-host", "db:10.9.8.7"}, "10.9.8.7\tdb\n" + loopback + "127.0.1.1\thomerun\n--\n" + search},
		"host": {[]string{"--net", "host", "--add-host", "db:10.9.8.7"}, "10.9.8.7\tdb\nown hosts\n--\nnameserver 127.0.0.1\n" + search},
		"join": {[]string{"--net", "ns:/proc/self/ns/net"}, "own hosts\n--\nnameserver 127.0.0.1\n" + search},
	}
	bindText(t, "/etc/hosts", "own hosts\n")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := newPlace(t).must(t, show("/", test.flags...)...); got != test.want {
				t.Errorf("the container has\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// Where the host's resolv.conf is a link into /run, as systemd-resolved makes
// it, the container's own /run has the file.
func TestLinkIntoRun(t *testing.T) {
	if !ownHost(t) {
		return
	}
	etc := t.TempDir()
	for _, name := range []string{"passwd", "group", "subuid", "subgid", "ld.so.cache"} {
		if text, err := os.ReadFile("/etc/" + name); err == nil {
			write(t, filepath.Join(etc, name), string(text))
		}
	}
	write(t, filepath.Join(etc, "hosts"), "own hosts\n")
	if err := os.Symlink("../run/resolve/stub.conf", filepath.Join(etc, "resolv.conf")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(etc, "/etc", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	for _, dangling := range []bool{true, false} {
		want := "--\n"
		if !dangling {
			if err := os.Mkdir("/run/resolve", 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, "/run/resolve/stub.conf", "nameserver 127.0.0.53\n")
			want = "--\nnameserver 127.0.0.53\n"
		}
		if got := newPlace(t).must(t, show("/", "--net", "host")...); got != "own hosts\n"+want {
			t.Errorf("dangling %v: the container has %q, want %q", dangling, got, want)
		}
	}
	got := newPlace(t).must(t, show("/", "--net", "pasta:ipv6=false")...)
	if !strings.HasSuffix(got, "--\nnameserver 10.0.2.3\n") {
		t.Errorf("with pasta the container has %q", got)
	}
	if _, err := os.Stat("/run/resolve/stub.conf"); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// smallRoot is a directory that holds busybox as sh and cat.
func smallRoot(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile("/usr/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin", "proc", "dev", "sys"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/sh"), text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "bin/sh"), filepath.Join(dir, "bin/cat")); err != nil {
		t.Fatal(err)
	}
}

// A root without the files gets empty ones to mount on, which go with the
// container: the root is somebody's own directory.
func TestRootWithoutFiles(t *testing.T) {
	if !ownHost(t) {
		return
	}
	root := t.TempDir()
	smallRoot(t, root)
	got := newPlace(t).must(t, show(root, "--net", "pasta:ipv6=false")...)
	if !strings.Contains(got, "10.0.2.100\thomerun\n") || !strings.HasSuffix(got, "--\nnameserver 10.0.2.3\nsearch example.test\n") {
		t.Errorf("the container has %q", got)
	}
	for _, name := range []string{"etc/hosts", "etc/resolv.conf"} {
		if _, err := os.Lstat(filepath.Join(root, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
}

// Who may change the root may change the files, but not those in the caller's state
// root, which mostly is memory of the caller's session: the container has copies, in a
// bounded space. Where the root is read-only, they are too.
func TestFilesChanged(t *testing.T) {
	if !ownHost(t) {
		return
	}
	root := t.TempDir()
	smallRoot(t, root)
	for _, name := range []string{"chmod", "sleep", "mv"} {
		if err := os.Link(filepath.Join(root, "bin/sh"), filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	const change = "exec >/out 2>&1; for f in hosts resolv.conf; do echo added >>/etc/$f && cat /etc/$f /etc/$f; done;" +
		"chmod 4777 /etc/hosts; cat /dev/zero >>/etc/hosts; echo rc $?; mv /out /done; sleep 60"
	writable, readOnly := newPlace(t), newPlace(t)
	for _, network := range []string{"none", "pasta:ipv6=false"} {
		done := filepath.Join(root, "done")
		os.Remove(done)
		c, cancel := writable.command("run", "--rootfs", root, "--net", network, "-d", "--log-driver", "passthrough", "--name", "c", "--", "sh", "-c", change)
		err := c.Run() // without pipes, which the container would have
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		for range 500 {
			if _, err := os.Stat(done); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if out := readText(done); strings.Count(out, "added\n") != 4 || strings.Count(out, "localhost") < 2 || !strings.Contains(out, "search example.test") ||
			!strings.Contains(out, "No space left on device") || !strings.HasSuffix(out, "rc 1\n") {
			t.Errorf("--net %s: the container has %q", network, out)
		}
		for _, name := range []string{"hosts", "resolv.conf"} {
			info, err := os.Stat(filepath.Join(writable.root, "c", name))
			if err != nil || info.Size() > 4096 || info.Mode() != 0o644 {
				t.Errorf("--net %s: %s outside: %v, %v; want the few bytes that homerun wrote, and nothing of the container's", network, name, info, err)
			}
		}
		writable.must(t, "rm", "-f", "c")
	}
	out, text, _ := readOnly.homerun("run", "--rootfs", root, "--read-only", "--net", "none", "--", "sh", "-c", "cat /etc/hosts; echo x >>/etc/hosts; echo x >>/etc/resolv.conf")
	if !strings.Contains(out, "localhost") || strings.Count(text, "Read-only file system") != 2 {
		t.Errorf("--read-only: the container has %q and %q", out, text)
	}
}

// One that cannot be written does without, and homerun says so when a network
// was asked for.
func TestReadOnlyRoot(t *testing.T) {
	if !ownHost(t) {
		return
	}
	root := t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(root, unix.MNT_DETACH) })
	smallRoot(t, root)
	if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	command := []string{"--", "sh", "-c", "echo works; cat /etc/hosts /etc/resolv.conf"}
	out, text, _ := newPlace(t).homerun(append([]string{"run", "--rootfs", root, "--net", "pasta"}, command...)...)
	for _, name := range []string{"hosts", "resolv.conf"} { // while the program, too, says what it lacks
		want := "homerun: the root has no /etc/" + name + " and cannot be written, so the container has none\n"
		if out != "works\n" || !strings.Contains(text, want) {
			t.Errorf("homerun says %q and %q; want works and %q", out, text, want)
		}
	}
	out, text, _ = newPlace(t).homerun(append([]string{"run", "--rootfs", root}, command...)...)
	if out != "works\n" || strings.Contains(text, "homerun:") {
		t.Errorf("without --net homerun says %q and %q", out, text)
	}
}
