package rootfs

import (
	"strings"

	"golang.org/x/sys/unix"
)

// options is what a mount's option strings mean: config.md, "Linux mount
// options", and crun's extras.
type options struct {
	bind, recursive bool
	remount         bool
	// attributes of this mount, and of the mounts below it too.
	own, all attributes
	// propagations are set one after the other, as mount(8) does: slave and
	// then shared is a mount that both receives and sends.
	propagations []propagation
	// superblock are flags that every new file system takes. A bind mount has
	// no file system of its own: there they mean nothing, as with mount(2).
	superblock []string
	// parameters of the file system, as fsconfig(2) takes them: key=value or
	// key.
	parameters []string

	copyUp, copySymlink            bool
	sourceNofollow, targetNofollow bool
	idmap, idmapDeep               bool
	idmapText                      string
}

// attributes are MOUNT_ATTR_* bits to set and to clear.
type attributes struct{ set, clear uint64 }

// propagation is MS_SHARED or the like; deep says that it is for the mounts
// below too.
type propagation struct {
	flag uint64
	deep bool
}

// option is one row of the table of option names.
type option struct {
	name string
	// set and clear are MOUNT_ATTR_* bits.
	set, clear uint64
	// also is a flag of the file system that goes with the option.
	also string
}

// attributeOptions lists the options that are mount attributes, as they stand;
// with an r in front they are recursive.
var attributeOptions = []option{
	{name: "ro", set: unix.MOUNT_ATTR_RDONLY},
	{name: "rw", clear: unix.MOUNT_ATTR_RDONLY},
	{name: "nosuid", set: unix.MOUNT_ATTR_NOSUID},
	{name: "suid", clear: unix.MOUNT_ATTR_NOSUID},
	{name: "nodev", set: unix.MOUNT_ATTR_NODEV},
	{name: "dev", clear: unix.MOUNT_ATTR_NODEV},
	{name: "noexec", set: unix.MOUNT_ATTR_NOEXEC},
	{name: "exec", clear: unix.MOUNT_ATTR_NOEXEC},
	{name: "nodiratime", set: unix.MOUNT_ATTR_NODIRATIME},
	{name: "diratime", clear: unix.MOUNT_ATTR_NODIRATIME},
	{name: "nosymfollow", set: unix.MOUNT_ATTR_NOSYMFOLLOW},
	{name: "symfollow", clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	{name: "noatime", set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	{name: "atime", set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	{name: "relatime", set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	{name: "norelatime", set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	{name: "strictatime", set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	{name: "nostrictatime", set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
}

// superblockOptions lists options that belong to the file system, not to the
// mount. Those without a flag clear what is clear in a new one anyway, or are
// none of fsconfig(2)'s: MS_SILENT only quiets the kernel's log, and since
// Linux 4.17 a file system decides on MS_I_VERSION itself.
var superblockOptions = []option{
	{name: "sync", also: "sync"}, {name: "async"},
	{name: "dirsync", also: "dirsync"},
	{name: "lazytime", also: "lazytime"}, {name: "nolazytime"},
	{name: "mand", also: "mand"}, {name: "nomand"},
	{name: "iversion"}, {name: "noiversion"},
	{name: "silent"}, {name: "loud"},
	{name: "rsync", also: "sync"}, {name: "rasync"},
	{name: "rdirsync", also: "dirsync"},
	{name: "rmand", also: "mand"}, {name: "rnomand"},
	{name: "defaults"},
}

// propagationOption maps option names to mount(2)'s flags.
func propagationOption(name string) (p propagation, ok bool) {
	switch name {
	case "shared", "rshared":
		p.flag = unix.MS_SHARED
	case "slave", "rslave":
		p.flag = unix.MS_SLAVE
	case "private", "rprivate":
		p.flag = unix.MS_PRIVATE
	case "unbindable", "runbindable":
		p.flag = unix.MS_UNBINDABLE
	default:
		return p, false
	}
	p.deep = name[0] == 'r'
	return p, true
}

// parseOptions reads a mount's options. What is no option of any mount is a
// parameter of the file system.
func parseOptions(list []string) options {
	var o options
	for _, s := range list {
		if !o.special(s) && !o.attribute(s) && !o.superblockFlag(s) && s != "" {
			o.parameters = append(o.parameters, s)
		}
	}
	return o
}

// special takes the options that are neither attributes nor parameters.
func (o *options) special(s string) bool {
	switch s {
	case "bind":
		o.bind = true
	case "rbind":
		o.bind, o.recursive = true, true
	case "remount":
		o.remount = true
	case "tmpcopyup":
		o.copyUp = true
	case "copy-symlink":
		o.copySymlink = true
	case "src-nofollow":
		o.sourceNofollow = true
	case "dest-nofollow":
		o.targetNofollow = true
	default:
		return o.propagate(s) || o.idmapped(s)
	}
	return true
}

func (o *options) propagate(s string) bool {
	p, ok := propagationOption(s)
	if ok {
		o.propagations = append(o.propagations, p)
	}
	return ok
}

// idmapped takes idmap and ridmap, with crun's mappings after a "=".
func (o *options) idmapped(s string) bool {
	name, text, _ := strings.Cut(s, "=")
	if name != "idmap" && name != "ridmap" {
		return false
	}
	o.idmap, o.idmapDeep, o.idmapText = true, name == "ridmap", text
	return true
}

func (o *options) attribute(s string) bool {
	deep := false
	for _, row := range attributeOptions {
		if s == row.name {
			o.own.add(row)
			return true
		}
		if len(s) > 1 && s[0] == 'r' && s[1:] == row.name {
			deep = true
			o.all.add(row)
		}
	}
	return deep
}

// add lets the later of two options win.
func (a *attributes) add(row option) {
	a.set = a.set&^(row.clear) | row.set
	a.clear = a.clear&^(row.set&^unix.MOUNT_ATTR__ATIME) | row.clear
}

func (o *options) superblockFlag(s string) bool {
	for _, row := range superblockOptions {
		if s == row.name {
			if row.also != "" {
				o.superblock = append(o.superblock, row.also)
			}
			return true
		}
	}
	return false
}

// attributes are those of a new mount, which has none below it.
func (o *options) attributes() uint64 {
	return o.own.set&^o.all.clear | o.all.set
}

// attributeNames lists bits by the names of the options that set them, for
// messages.
func attributeNames(bits uint64) string {
	const times = unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME
	var names []string
	for _, row := range attributeOptions {
		if row.set&^times != 0 && bits&row.set == row.set {
			names = append(names, row.name)
		}
	}
	if bits&times != 0 {
		names = append(names, "access times")
	}
	return strings.Join(names, ", ")
}
