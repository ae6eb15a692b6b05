package compile

import (
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestCompileMounts checks where the work is done: sources before the
// container's mount namespace is joined, targets after it.
func TestCompileMounts(t *testing.T) {
	facts := &host.Facts{Sources: map[string]host.Source{"/src": {Path: "/src", Kind: host.Directory}, "/b/rel": {Path: "/b/rel"}}}
	list := []specs.Mount{
		{Destination: "/a", Type: "bind", Source: "/src", Options: []string{"rbind", "ro"}},
		{Destination: "/b", Type: "bind", Source: "rel", Options: []string{"bind"}},
		{Destination: "/c", Type: "tmpfs", Options: []string{"size=1m"}},
	}
	for _, test := range []struct {
		name string
		m    Mounts
		want []string
	}{
		{"root", Mounts{List: list, Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWPID},
			[]string{`open_tree(AT_FDCWD, "/src"`, `open_tree(AT_FDCWD, "/b/rel"`, "setns($init, CLONE_NEWPID)", "setns($mounts, CLONE_NEWNS)", "clone3",
				`open_tree(AT_FDCWD, "/", OPEN_TREE_CLOEXEC)`, "move_mount($source", "move_mount($source", `fsopen("tmpfs"`, "exit_group(0)"}},
		{"user", Mounts{List: list[:1], Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWUSER},
			[]string{"setns($init, CLONE_NEWUSER)", "unshare(CLONE_NEWNS)", "open_tree(AT_FDCWD, \"/src\"", "setns($mounts, CLONE_NEWNS)", "setresuid(0",
				`openat2($root, "a"`, "move_mount", "exit_group(0)"}},
		{"remove", Mounts{List: list, Remove: true, Namespaces: unix.CLONE_NEWNS},
			[]string{"setns", `umount2("c", MNT_DETACH|UMOUNT_NOFOLLOW)`, `umount2("b"`, `umount2("a"`, "exit_group(0)"}},
		{"chroot", Mounts{List: list[2:], Chroot: true, Namespaces: unix.CLONE_NEWNS},
			[]string{"setns", "fchdir($root", `chroot(".")`, `open_tree(AT_FDCWD, "/"`, "move_mount"}},
	} {
		test.m.BundleDir = "/b"
		r, err := mountsAnswered(test.m, facts)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var text strings.Builder
		for i := range r.Plan.Len() {
			text.WriteString(r.Plan.Text(i) + "\n")
		}
		rest := text.String()
		for _, want := range test.want {
			_, after, found := strings.Cut(rest, want)
			if !found {
				t.Errorf("%s: no %q after what comes before it:\n%s", test.name, want, text.String())
				break
			}
			rest = after
		}
	}
}

func TestCompileMountsRefuses(t *testing.T) {
	for _, m := range []specs.Mount{
		{Destination: "/", Type: "tmpfs"},
		{Destination: "/a/..", Type: "tmpfs"},
		{Destination: "/a", Type: "bind", Source: "/nowhere"},
		{Destination: "/a", Type: "tmpfs", Options: []string{"tmpcopyup"}},
		{Destination: "/a", Type: "bind", Source: "/", Options: []string{"bind", "idmap"}},
		{Destination: "/a", Options: []string{"remount", "ro"}},
		{Destination: "/a"},
	} {
		facts := &host.Facts{Sources: map[string]host.Source{"/nowhere": {Error: "ENOENT"}}}
		_, err := mountsAnswered(Mounts{List: []specs.Mount{m}, Namespaces: unix.CLONE_NEWNS}, facts)
		if err == nil || strings.Contains(err.Error(), "BUG") {
			t.Errorf("%+v: %v", m, err)
		}
	}
}
