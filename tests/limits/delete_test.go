package limits

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
	"golang.org/x/sys/unix"
)

// delete --force from another PID namespace, where init's number is nobody's, ends
// the container by its cgroup; without it nothing is removed.
func TestDeleteElsewhere(t *testing.T) {
	guest.Need(t)
	guest.NeedRoot(t)
	eachManager(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, "", "sleep", "100")
		b.start()
		pid, own := b.state().Pid, b.cgroup()
		b.before = []string{"unshare", "--pid", "--fork", "--mount-proc"}
		if out, err := b.homerun("delete", b.id); err == nil || !strings.Contains(out, "made in another PID namespace") {
			t.Errorf("%v: %s", err, out)
		}
		if _, err := os.Stat(fmt.Sprint("/proc/", pid)); err != nil {
			t.Error(err)
		}
		b.must("delete", "--force", b.id)
		b.before = nil
		eventually(t, "ended", func() bool { _, err := os.Stat(own); return err != nil })
		if out, err := b.homerun("state", b.id); err == nil {
			t.Errorf("after delete: %s", out)
		}
	})
}

// A process that cannot be killed, since it waits for a file system whose server
// does not answer, lets no delete wait for ever: what could not be done is said, and
// can be done later.
func TestDeleteStuck(t *testing.T) {
	guest.Need(t)
	guest.NeedRoot(t)
	eachManager(t, func(t *testing.T, manager string) {
		dir, asked := silent(t)
		b := newBox(t, manager, "", "ls", "/silent")
		b.config["mounts"] = append(b.config["mounts"].([]object), object{"destination": "/silent", "type": "bind", "source": dir, "options": []string{"bind"}})
		b.start()
		select {
		case <-asked: // from now on a signal does not end the wait
		case <-time.After(callLimit):
			t.Fatal("nobody reads the directory")
		}
		begun := time.Now()
		out, err := b.homerun("delete", "--force", b.id)
		if err == nil || !strings.Contains(out, "does not end") || time.Since(begun) > callLimit {
			t.Errorf("after %v: %v: %s", time.Since(begun), err, out)
		}
		_ = unix.Unmount(dir, unix.MNT_FORCE) // which ends what waits, busy or not
		b.must("delete", "--force", b.id)
	})
}

// silent mounts a FUSE file system whose server says of its root that it is a
// directory, and never answers who reads it, of whom asked tells: include/uapi/linux/fuse.h.
func silent(t *testing.T) (dir string, asked <-chan struct{}) {
	t.Helper()
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(server) })
	dir = t.TempDir()
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", server)
	if err := unix.Mount("silent", dir, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH) })
	reads := make(chan struct{}, 10)
	go func() {
		request := make([]byte, 1<<20)
		for {
			n, err := unix.Read(server, request)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n < 16 {
				return
			}
			answer := make([]byte, 16)
			switch binary.LittleEndian.Uint32(request[4:]) {
			case 26: // FUSE_INIT: version 7.31, and nothing else
				answer = append(answer, make([]byte, 64)...)
				binary.LittleEndian.PutUint32(answer[16:], 7)
				binary.LittleEndian.PutUint32(answer[20:], 31)
			case 3: // FUSE_GETATTR: a directory, for ever
				answer = append(answer, make([]byte, 16+88)...)
				binary.LittleEndian.PutUint64(answer[16:], 1<<30)
				binary.LittleEndian.PutUint64(answer[32:], 1)
				binary.LittleEndian.PutUint32(answer[92:], unix.S_IFDIR|0o755)
				binary.LittleEndian.PutUint32(answer[96:], 2)
			case 27: // FUSE_OPENDIR
				reads <- struct{}{}
				continue
			default:
				binary.LittleEndian.PutUint32(answer[4:], ^uint32(unix.ENOSYS)+1) // less than 0
			}
			binary.LittleEndian.PutUint32(answer, uint32(len(answer)))
			copy(answer[8:16], request[8:16]) // the request's number
			_, _ = unix.Write(server, answer)
		}
	}()
	return dir, reads
}
