package rootfs

import (
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const atime = unix.MOUNT_ATTR__ATIME

// attributeRows are the options that are mount attributes: config.md, "Linux
// mount options", with the bits of mount_setattr(2). Relatime is 0.
func attributeRows() map[string]attributes {
	return map[string]attributes{
		"ro": {set: unix.MOUNT_ATTR_RDONLY}, "rw": {clear: unix.MOUNT_ATTR_RDONLY},
		"nosuid": {set: unix.MOUNT_ATTR_NOSUID}, "suid": {clear: unix.MOUNT_ATTR_NOSUID},
		"nodev": {set: unix.MOUNT_ATTR_NODEV}, "dev": {clear: unix.MOUNT_ATTR_NODEV},
		"noexec": {set: unix.MOUNT_ATTR_NOEXEC}, "exec": {clear: unix.MOUNT_ATTR_NOEXEC},
		"nodiratime": {set: unix.MOUNT_ATTR_NODIRATIME}, "diratime": {clear: unix.MOUNT_ATTR_NODIRATIME},
		"nosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW}, "symfollow": {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
		"noatime": {unix.MOUNT_ATTR_NOATIME, atime}, "atime": {0, atime},
		"relatime": {0, atime}, "norelatime": {unix.MOUNT_ATTR_STRICTATIME, atime},
		"strictatime": {unix.MOUNT_ATTR_STRICTATIME, atime}, "nostrictatime": {0, atime},
	}
}

func TestAttributeOptions(t *testing.T) {
	rows := attributeRows()
	for name, want := range rows {
		if got, want := parseOptions([]string{name}), (options{own: want}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
		if got, want := parseOptions([]string{"r" + name}), (options{all: want}); !reflect.DeepEqual(got, want) {
			t.Errorf("r%s: got %+v, want %+v", name, got, want)
		}
	}
	for _, row := range attributeOptions {
		if _, ok := rows[row.name]; !ok {
			t.Errorf("option %s has no row", row.name)
		}
	}
}

func TestOtherOptions(t *testing.T) {
	const shared, slave, private, unbindable = unix.MS_SHARED, unix.MS_SLAVE, unix.MS_PRIVATE, unix.MS_UNBINDABLE
	tests := map[string]options{
		"bind": {bind: true}, "rbind": {bind: true, recursive: true}, "remount": {remount: true},
		"shared": {propagations: []propagation{{shared, false}}}, "rshared": {propagations: []propagation{{shared, true}}},
		"slave": {propagations: []propagation{{slave, false}}}, "rslave": {propagations: []propagation{{slave, true}}},
		"private": {propagations: []propagation{{private, false}}}, "rprivate": {propagations: []propagation{{private, true}}},
		"unbindable":  {propagations: []propagation{{unbindable, false}}},
		"runbindable": {propagations: []propagation{{unbindable, true}}},
		"sync":        {superblock: []string{"sync"}}, "rsync": {superblock: []string{"sync"}},
		"dirsync": {superblock: []string{"dirsync"}}, "rdirsync": {superblock: []string{"dirsync"}},
		"mand": {superblock: []string{"mand"}}, "rmand": {superblock: []string{"mand"}},
		"lazytime": {superblock: []string{"lazytime"}},
		"async":    {}, "rasync": {}, "nomand": {}, "rnomand": {}, "nolazytime": {}, "iversion": {}, "noiversion": {},
		"silent": {}, "loud": {}, "defaults": {}, "": {},
		"tmpcopyup": {copyUp: true}, "copy-symlink": {copySymlink: true},
		"src-nofollow": {sourceNofollow: true}, "dest-nofollow": {targetNofollow: true},
		"idmap": {idmap: true}, "ridmap": {idmap: true, idmapDeep: true},
		"idmap=uids=0-1-2;gids=3-4-5": {idmap: true, idmapText: "uids=0-1-2;gids=3-4-5"},
		"mode=755":                    {parameters: []string{"mode=755"}}, "newinstance": {parameters: []string{"newinstance"}},
		"idmapped": {parameters: []string{"idmapped"}}, "RO": {parameters: []string{"RO"}},
		"r": {parameters: []string{"r"}}, "rrro": {parameters: []string{"rrro"}}, "ro ": {parameters: []string{"ro "}},
		"context=\"a,b\"": {parameters: []string{"context=\"a,b\""}},
	}
	for name, want := range tests {
		if got := parseOptions([]string{name}); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v", name, got, want)
		}
	}
	for _, name := range OptionNames() {
		_, here := tests[name]
		_, attribute := attributeRows()[strings.TrimPrefix(name, "r")]
		if _, own := attributeRows()[name]; !here && !attribute && !own {
			t.Errorf("option %s has no row", name)
		}
	}
}

// TestOptionsInOrder: the later of two that exclude each other wins, and those
// for all mounts below do not touch those for the mount itself.
func TestOptionsInOrder(t *testing.T) {
	tests := map[string]options{
		"ro rw":                      {own: attributes{clear: unix.MOUNT_ATTR_RDONLY}},
		"rw ro":                      {own: attributes{set: unix.MOUNT_ATTR_RDONLY}},
		"ro rrw":                     {own: attributes{set: unix.MOUNT_ATTR_RDONLY}, all: attributes{clear: unix.MOUNT_ATTR_RDONLY}},
		"noatime relatime":           {own: attributes{0, atime}},
		"noatime strictatime":        {own: attributes{unix.MOUNT_ATTR_STRICTATIME, atime}},
		"strictatime noatime ro":     {own: attributes{unix.MOUNT_ATTR_NOATIME | unix.MOUNT_ATTR_RDONLY, atime}},
		"nodiratime noatime":         {own: attributes{unix.MOUNT_ATTR_NODIRATIME | unix.MOUNT_ATTR_NOATIME, atime}},
		"nosuid nodev exec dev":      {own: attributes{unix.MOUNT_ATTR_NOSUID, unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NODEV}},
		"slave shared":               {propagations: []propagation{{unix.MS_SLAVE, false}, {unix.MS_SHARED, false}}},
		"size=5 sync nr_inodes=1 ro": {superblock: []string{"sync"}, parameters: []string{"size=5", "nr_inodes=1"}, own: attributes{set: unix.MOUNT_ATTR_RDONLY}},
		"rbind bind":                 {bind: true, recursive: true},
	}
	for list, want := range tests {
		if got := parseOptions(strings.Fields(list)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", list, got, want)
		}
	}
}

func TestAttributesOfANewMount(t *testing.T) {
	tests := map[string]uint64{
		"":             0,
		"ro nosuid":    unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID,
		"rro":          unix.MOUNT_ATTR_RDONLY,
		"ro rrw":       0,
		"rrw ro":       0,
		"noatime rdev": unix.MOUNT_ATTR_NOATIME,
	}
	for list, want := range tests {
		o := parseOptions(strings.Fields(list))
		if got := o.attributes(); got != want {
			t.Errorf("%s: got %#x, want %#x", list, got, want)
		}
	}
}

// TestLockedKept: in a user namespace nothing is cleared that is not set, and
// access times are left alone where they are as they shall be.
func TestLockedKept(t *testing.T) {
	tests := []struct {
		name, options, present string
		locked                 bool
		want                   attributes
	}{
		{"free", "rw dev noatime", "ro", false, attributes{unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV | atime}},
		{"nothing set", "rw dev suid exec", "relatime", true, attributes{}},
		{"a wish against it", "rw dev", "ro nosuid relatime", true, attributes{0, unix.MOUNT_ATTR_RDONLY}},
		{"more flags", "ro nosuid", "nodev relatime", true, attributes{unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID, 0}},
		{"the same flags", "nodev", "nodev", true, attributes{unix.MOUNT_ATTR_NODEV, 0}},
		{"the same access times", "relatime", "relatime", true, attributes{}},
		{"the same access times, named otherwise", "atime ro", "relatime", true, attributes{set: unix.MOUNT_ATTR_RDONLY}},
		{"the same noatime", "noatime", "noatime", true, attributes{}},
		{"other access times", "noatime", "relatime", true, attributes{unix.MOUNT_ATTR_NOATIME, atime}},
		{"back to relatime", "relatime", "noatime", true, attributes{0, atime}},
	}
	for _, test := range tests {
		o := parseOptions(strings.Fields(test.options))
		if got := lockedKept(o.own, strings.Fields(test.present), test.locked); got != test.want {
			t.Errorf("%s: %s on %s: got %#x, want %#x", test.name, test.options, test.present, got, test.want)
		}
	}
}

func TestAttributeNames(t *testing.T) {
	tests := map[uint64]string{
		0:                       "",
		unix.MOUNT_ATTR_RDONLY:  "ro",
		unix.MOUNT_ATTR_NOATIME: "access times",
		unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NODIRATIME: "nosuid, nodev, access times",
	}
	for bits, want := range tests {
		if got := attributeNames(bits); got != want {
			t.Errorf("%#x: got %q, want %q", bits, got, want)
		}
	}
}

// TestBindParameters: a value for a new file system means nothing to a bind
// mount, and crun and mount(2) ignore it. What could be a flag with a mistake in
// it stays an error, as with runc: nobody should lose a noexec without a word.
func TestBindParameters(t *testing.T) {
	for option, unknown := range map[string]string{
		"mode=755": "", "size=1k": "", "mode=755,uid=0": "", "x-note=a": "",
		"noexce": "noexce", "mode": "mode", "ro=1": "ro=1", "mode=755,noexce": "noexce", "rnosuid=": "rnosuid=",
	} {
		m := Mount{options: parseOptions([]string{"bind", option})}
		if got := m.unknownOption(); got != unknown {
			t.Errorf("%s: unknown is %q, want %q", option, got, unknown)
		}
	}
}

// TestVolumeWords: podman's words for a new volume mean nothing to a bind mount, with or without a type; a file system has none such.
func TestVolumeWords(t *testing.T) {
	for _, m := range []specs.Mount{{Type: "bind", Options: []string{"nocopy", "ro"}}, {Options: []string{"copy", "rbind"}}} {
		m.Source, m.Destination = "/srv", "/srv"
		read, err := ReadMounts([]specs.Mount{m})
		if err != nil || len(read[0].options.parameters) > 0 {
			t.Errorf("%v: %v, %+v", m.Options, err, read)
		}
	}
	read, err := ReadMounts([]specs.Mount{{Type: "tmpfs", Destination: "/srv", Options: []string{"nocopy"}}})
	if err != nil || len(read[0].options.parameters) != 1 {
		t.Errorf("tmpfs: %v, %+v", err, read)
	}
}
