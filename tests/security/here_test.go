package security

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestHereRenamed: a program that may change the directory above (--here there) puts a
// link to the caller's keys in the place of the current one, while homerun begins. The
// container has the directory in which the caller is, by --here and as a volume. A
// profile that is a FIFO says when its path is known, and not yet used.
func TestHereRenamed(t *testing.T) {
	need(t)
	for _, c := range callers() {
		for _, flags := range [][]string{{"--here"}, {"--as-root", "-v", ".:/mnt", "--workdir", "/mnt"}} {
			t.Run(c.name+"/"+flags[0], func(t *testing.T) { hereRenamed(t, c, flags) })
		}
	}
}

func hereRenamed(t *testing.T, c caller, flags []string) {
	dir, err := os.MkdirTemp(w.dir, "here")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	at := func(p string) string { return filepath.Join(dir, p) }
	must(t, os.MkdirAll(at("above/current"), 0o755), os.Mkdir(at("keys"), 0o755), os.WriteFile(at("keys/key"), nil, 0o644),
		os.WriteFile(at("above/current/work"), nil, 0o644), syscall.Mkfifo(at("profile"), 0o644), os.Chmod(dir, 0o755))
	uid, gid := 0, 0
	if c.user {
		uid, gid = c.owner()
	}
	for _, p := range []string{"", "above", "above/current", "above/current/work", "keys", "keys/key", "profile"} {
		must(t, os.Chown(at(p), uid, gid))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	args := append([]string{"run", "--rootfs", "/", "--net", "none", "--security-opt", "seccomp=" + at("profile")}, flags...)
	cmd := c.command(ctx, append(args, "--", "ls")...)
	cmd.Dir = at("above/current")
	cmd.Env = append(cmd.Env, "PWD="+cmd.Dir)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	must(t, cmd.Start())
	profile, err := openOrEnd(ctx, at("profile"))
	must(t, err)
	must(t, os.Rename(at("above/current"), at("above/other")), os.Symlink("../keys", at("above/current")))
	_, err = profile.WriteString(`{"defaultAction": "SCMP_ACT_ALLOW"}`)
	must(t, err, profile.Close())
	if err := cmd.Wait(); err != nil || out.String() != "work\n" {
		t.Errorf("%v: the container sees %q; %s", err, out.String(), said.String())
	}
}

// openOrEnd opens a FIFO to write, when somebody has it open to read.
func openOrEnd(ctx context.Context, p string) (*os.File, error) {
	for {
		f, err := os.OpenFile(p, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil || ctx.Err() != nil {
			return f, err
		}
		time.Sleep(time.Millisecond)
	}
}
