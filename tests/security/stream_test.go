package security

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestStreamOwners: run and exec as another user give pipes to that user, and
// none of the caller's files: not the log, not what is read, not a FIFO, not a
// device node. Afterwards the caller can write the log again.
func TestStreamOwners(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		b := newBundle(t, c, "report", "write /proc/self/fd/1")
		b.spec.Process.User = specs.User{UID: 7, GID: 7}
		if got := b.run().report(t).Tries["write /proc/self/fd/1"]; got != "ok" && !c.user { // whose pipe it is decides, and it is root's
			t.Errorf("a pipe is not the user's: %s", got)
		}
		uid, gid := c.owner()
		if !c.user {
			uid, gid = 0, 0
		}
		dir := filepath.Join(b.dir, "streams")
		must(t, os.Mkdir(dir, 0o755))
		names := []string{"log", "private", "fifo", "node"}
		for i, name := range names {
			kind := []uint32{unix.S_IFREG, unix.S_IFREG, unix.S_IFIFO, unix.S_IFCHR}[i]
			p := filepath.Join(dir, name)
			must(t, unix.Mknod(p, kind|0o600, int(unix.Mkdev(1, 5))), os.Chown(p, uid, gid))
		}
		check := func(verb string) {
			for _, name := range names {
				var st unix.Stat_t
				must(t, unix.Stat(filepath.Join(dir, name), &st))
				if int(st.Uid) != uid || int(st.Gid) != gid {
					t.Errorf("%s: %s belongs to %d:%d, no longer to %d:%d", verb, name, st.Uid, st.Gid, uid, gid)
				}
			}
		}
		b.spec.Process.Args = []string{"/inside", "ok"}
		b.save()
		for _, stdin := range []string{"private", "node"} {
			b.streams(dir, stdin, "run", "-b", b.dir, b.id())
			check("run")
		}
		running := newBundle(t, c, "wait").start()
		running.streams(dir, "private", "exec", "--user", "7:7", running.id(), "/inside", "ok")
		check("exec")
	})
}

// streams runs homerun with files as its standard streams.
func (b *bundle) streams(dir, stdin string, args ...string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := b.c.command(ctx, args...)
	var files []*os.File
	for _, name := range []string{stdin, "log", "fifo"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		must(b.t, err)
		defer f.Close()
		files = append(files, f)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	if err := cmd.Run(); err != nil {
		text := make([]byte, 4096)
		n, _ := unix.Read(int(files[2].Fd()), text)
		b.t.Fatalf("%v: %v: %s", args, err, text[:max(n, 0)])
	}
}
