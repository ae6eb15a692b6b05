package security

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestUserFiles: exec looks a name up in the container's /etc/passwd or
// /etc/group only where that is a regular file, as /dev/kmsg or a FIFO with
// nobody at its end would have it wait for ever. The neighbours are a terminal,
// a directory and a link to another of these.
func TestUserFiles(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		for _, file := range []string{"/etc/passwd", "/etc/group"} {
			user := "web"
			if file == "/etc/group" {
				user = "1:web"
			}
			for kind, make := range map[string]func(p string) error{
				"directory": func(p string) error { return os.Mkdir(p, 0o755) },
				"socket":    func(p string) error { return plantSocket(p, nil) },
				"device":    func(p string) error { return os.Symlink("/dev/zero", p) },
				"terminal":  func(p string) error { return os.Symlink("/dev/tty", p) },
				"FIFO":      mkfifo,
			} {
				b := newBundle(t, c, "wait")
				b.mkdir("etc")
				must(t, make(b.root(file)))
				if uid, gid := c.owner(); kind != "device" && kind != "terminal" {
					must(t, os.Lchown(b.root(file), uid, gid), unix.Chmod(b.root(file), 0o755))
				}
				b.spec.Process.User = specs.User{}
				res := b.start().exec([]string{"--user", user}, "ok")
				if res.status == 0 || !strings.Contains(res.stderr, "not a regular file") {
					t.Fatalf("%s is a %s: status %d: %s", file, kind, res.status, res.stderr)
				}
			}
		}
	})
}
