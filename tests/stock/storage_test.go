package stock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/tests/guest"
	"golang.org/x/sys/unix"
)

// Files of one id are another's in an id-mapped mount, on the disk and on a tmpfs; what is made there is the first one's.
func TestIDMappedMounts(t *testing.T) {
	need(t, "ext4 with id-mapped mounts")
	for name, parent := range map[string]string{"ext4": "/var/tmp", "tmpfs": "/tmp"} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp(parent, "stock-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil || (st.Type == unix.EXT4_SUPER_MAGIC) != (name == "ext4") {
				t.Fatalf("%s is no %s: %v", parent, name, err)
			}
			write(t, dir+"/file", "text")
			for _, path := range []string{dir, dir + "/file"} {
				if err := os.Chown(path, 3000, 3001); err != nil {
					t.Fatal(err)
				}
			}
			uids := []object{{"containerID": 3000, "hostID": 0, "size": 1}}
			gids := []object{{"containerID": 3001, "hostID": 0, "size": 1}}
			c := newContainer(t, false, "sh", "-c", "echo new >/data/new && stat -c %u:%g /data/file /data/new | tr '\n' ' '")
			c.add("mounts", object{"destination": "/data", "type": "none", "source": dir, "options": []string{"bind", "idmap"},
				"uidMappings": uids, "gidMappings": gids})
			c.prints("0:0 0:0")
			if err := unix.Stat(dir+"/new", &unix.Stat_t{}); err != nil {
				t.Fatal(err)
			}
			if got := guest.Must(t, "stat", "-c", "%u:%g", dir+"/new"); got != "3000:3001" {
				t.Errorf("what was made belongs to %s", got)
			}
		})
	}
}

// Without root too, what a program changes of an overlay's root is gone with the container.
func TestOverlay(t *testing.T) {
	need(t, "overlay on ext4")
	callers(t, func(t *testing.T, dev bool) {
		c := newContainer(t, dev)
		for range 2 {
			out, err := c.homerun("run", "--rootfs", rootfs, "--overlay", "--", "sh", "-c", "cat /secret && echo changed >/secret && echo new >/new && rm /exec-secret && cat /secret")
			if err != nil || !strings.HasSuffix(out, "seen\nchanged") {
				t.Errorf("%v: %s", err, out)
			}
		}
		for name, want := range map[string]string{"secret": "seen", "exec-secret": "seen"} {
			if got := read(t, filepath.Join(rootfs, name)); got != want {
				t.Errorf("%s is now %q", name, got)
			}
		}
		if _, err := os.Lstat(rootfs + "/new"); err == nil {
			t.Error("what the program made is left")
		}
	})
}
