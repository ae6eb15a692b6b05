package rootfs

import (
	"slices"
	"testing"
)

// TestOptionNames checks that each listed option is one, and that the list has
// what the runtime specification 1.3 wants (config.md, "Linux mount options").
func TestOptionNames(t *testing.T) {
	names := OptionNames()
	for _, name := range names {
		if o := parseOptions([]string{name}); len(o.parameters) > 0 {
			t.Errorf("%s is listed and is a file system's parameter", name)
		}
	}
	for _, name := range []string{"async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "iversion",
		"lazytime", "loud", "noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "norelatime",
		"nostrictatime", "nosuid", "private", "rbind", "relatime", "remount", "ro", "rprivate", "rshared", "rslave",
		"runbindable", "rw", "shared", "silent", "slave", "strictatime", "suid", "sync", "unbindable", "ratime", "rdev",
		"rdiratime", "rexec", "rnoatime", "rnodev", "rnodiratime", "rnoexec", "rnosuid", "rro", "rrw", "rsuid", "idmap",
		"ridmap", "nosymfollow", "symfollow", "mand", "nomand", "tmpcopyup"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not listed", name)
		}
	}
}
