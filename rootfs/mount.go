package rootfs

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Error is a mount, device or path of config.json that cannot be made.
type Error struct {
	// Pointer is the JSON path (mounts[4].options[1]).
	Pointer string
	// What says what was wanted (mount /srv on /data).
	What string
	// Why is the reason, Errno's text last where there is one.
	Why string
	// Errno is 0 or the reason's number.
	Errno unix.Errno
	// Hint is advice, or empty.
	Hint string
}

// Error implements error.
func (e *Error) Error() string {
	return e.What + " (" + e.Pointer + "): " + e.Why
}

// Unwrap gives the errno.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// Mount is a mount of config.json with its options read, and its source open
// where it has one.
type Mount struct {
	specs.Mount
	index   int
	options options
	source  plan.Slot
	host    host.Source
}

// IsCgroup tells a mount of the cgroup tree.
func (m *Mount) IsCgroup() bool { return m.Type == "cgroup" || m.Type == "cgroup2" }

func (m *Mount) pointer() string { return "mounts[" + strconv.Itoa(m.index) + "]" }

func (m *Mount) what() string {
	if m.options.bind {
		return "mount " + m.Source + " on " + m.Destination
	}
	return "mount " + m.Type + " on " + m.Destination
}

func (m *Mount) error(why string, errno unix.Errno) error {
	return &Error{Pointer: m.pointer(), What: m.what(), Why: why, Errno: errno}
}

// readMounts reads the options of all mounts.
func readMounts(list []specs.Mount) ([]Mount, error) {
	mounts := make([]Mount, len(list))
	for i := range list {
		m := &mounts[i]
		*m = Mount{Mount: list[i], index: i, options: parseOptions(list[i].Options)}
		if m.Type == "bind" {
			m.options.bind = true
		}
		if err := m.check(); err != nil {
			return nil, err
		}
	}
	return mounts, nil
}

func (m *Mount) check() error {
	o := &m.options
	if o.idmap || len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0 {
		return m.error("id-mapped mounts are not supported yet", 0)
	}
	if o.copyUp || o.copySymlink || o.sourceNofollow || o.targetNofollow || o.remount {
		return m.error("the options tmpcopyup, copy-symlink, src-nofollow, dest-nofollow and remount are not supported yet", 0)
	}
	if o.bind && len(o.parameters) > 0 {
		e := m.error(fmt.Sprintf("%s %q", errNotForBind, o.parameters[0]), 0).(*Error)
		e.Pointer += ".options"
		return e
	}
	if !o.bind && (m.Type == "" || m.Type == "none") {
		return m.error("it has neither a type nor the option bind", 0)
	}
	return nil
}

// openSources clones the host's side of the bind mounts, while the credentials
// are still the caller's. paths gives each source as an absolute path.
func (t *Tree) openSources(mounts []Mount, absolute func(string) string) error {
	for i := range mounts {
		m := &mounts[i]
		if !m.options.bind {
			continue
		}
		t.b.At(m.pointer(), m.what())
		p := absolute(m.Source)
		m.host = t.facts.Sources[p]
		if m.host.Error != "" {
			return m.sourceError()
		}
		m.source = t.b.Get("source", openTree(p, m.options.recursive))
	}
	return nil
}

// sourceError tells why a bind's source cannot be used.
func (m *Mount) sourceError() error {
	for _, errno := range []unix.Errno{unix.ENOENT, unix.EACCES, unix.ENOTDIR, unix.ELOOP, unix.EPERM} {
		if unix.ErrnoName(errno) == m.host.Error {
			return m.error("source: "+errno.Error(), errno)
		}
	}
	return m.error("source: "+m.host.Error, 0)
}

// openTree copies the mount at a path of the runtime namespace.
func openTree(p string, recursive bool) plan.OpenTree {
	flags := unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return plan.OpenTree{DirFD: plan.AtCWD(), Path: p, Flags: flags}
}

// mounts makes all mounts in the order of config.json.
func (t *Tree) mounts(list []Mount) {
	for i := range list {
		m := &list[i]
		t.b.At(m.pointer(), m.what())
		switch {
		case m.options.bind:
			t.bind(m)
		case m.Type == "cgroup" || m.Type == "cgroup2":
			t.cgroup(m)
		case m.Type == "sysfs" && t.restricted:
			t.sysfs(m)
		default:
			t.fileSystem(m)
		}
		t.covered = append(t.covered, inside(m.Destination))
	}
}

// bind attaches a source that openSources opened.
func (t *Tree) bind(m *Mount) {
	o := &m.options
	t.setattr(m.source, lockedKept(o.own, m.host.Flags, t.restricted), 0, false)
	t.setattr(m.source, o.all, 0, true)
	target := t.target(m.Destination, m.host.Kind == host.Directory)
	t.attach(m.source, target)
	t.b.Close(target)
	t.propagate(m, m.source)
	t.b.Close(m.source)
}

// lockedKept leaves out of a change what a mount from another user namespace
// would refuse although config.json has no wish against it: clearing a flag
// that is not set anyway, and access times, which are locked as they are.
func lockedKept(a attributes, present []string, locked bool) attributes {
	if !locked {
		return a
	}
	has := parseOptions(present).own.set
	a.clear &= has | unix.MOUNT_ATTR__ATIME
	if a.clear&unix.MOUNT_ATTR__ATIME != 0 && a.set&unix.MOUNT_ATTR__ATIME == has&unix.MOUNT_ATTR__ATIME {
		a.clear &^= unix.MOUNT_ATTR__ATIME
		a.set &^= unix.MOUNT_ATTR__ATIME
	}
	return a
}

// propagate gives an attached mount its propagation: private unless asked.
func (t *Tree) propagate(m *Mount, mount plan.Slot) {
	o := &m.options
	switch {
	case o.propagation != 0:
		t.setattr(mount, attributes{}, o.propagation, o.deep)
	case o.bind:
		t.setattr(mount, attributes{}, unix.MS_PRIVATE, true)
	}
}

// fileSystem makes a new file system and attaches it.
func (t *Tree) fileSystem(m *Mount) {
	t.fsopen(m, 0)
	mount := t.fsmount(m)
	t.place(m, mount)
}

// fsopen makes the file system; a refusal (EPERM) goes on at refused, if set.
func (t *Tree) fsopen(m *Mount, refused plan.Label) {
	fs := t.b.Get("fs", plan.Fsopen{Type: m.Type})
	if m.Source != "" {
		t.configure(fs, "source="+m.Source)
	}
	for _, p := range m.options.parameters {
		t.configure(fs, p)
	}
	if m.Type == "tmpfs" && !hasParameter(m.options.parameters, "mode") {
		t.configure(fs, "mode="+t.tmpfsMode(m))
	}
	create := plan.Step{Op: plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_CMD_CREATE}}
	if refused != 0 {
		create.Tolerate = []plan.Errno{{Errno: unix.EPERM, To: refused}}
	}
	t.b.Add(create)
	m.source = fs
}

// configure sets one parameter.
func (t *Tree) configure(fs plan.Slot, parameter string) {
	key, value, ok := strings.Cut(parameter, "=")
	op := plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_SET_FLAG, Key: key}
	if ok {
		op.Command, op.Value = unix.FSCONFIG_SET_STRING, value
	}
	t.b.Do(op)
}

// tmpfsMode is the mode of a tmpfs without a mode option: that of the
// directory it covers, or a sticky one that all may write.
func (t *Tree) tmpfsMode(m *Mount) string {
	if target, ok := t.known(m.Destination); ok && target.Kind == host.Directory && target.Mode != 0 {
		return strconv.FormatUint(uint64(target.Mode), 8)
	}
	return "1777"
}

func hasParameter(list []string, key string) bool {
	for _, p := range list {
		if k, _, _ := strings.Cut(p, "="); k == key {
			return true
		}
	}
	return false
}

// fsmount makes the detached mount, with its attributes from the start.
func (t *Tree) fsmount(m *Mount) plan.Slot {
	attrs := m.options.own.set | m.options.all.set
	mount := t.b.Get(path.Base("/"+inside(m.Destination)), plan.Fsmount{FD: m.source.Ref(), Attrs: int(attrs)})
	t.b.Close(m.source)
	return mount
}

// place attaches a new mount and keeps it open where later operations need it.
func (t *Tree) place(m *Mount, mount plan.Slot) {
	target := t.target(m.Destination, true)
	t.attach(mount, target)
	t.b.Close(target)
	t.propagate(m, mount)
	p := inside(m.Destination)
	switch {
	case m.Type == "proc" && p == "proc":
		t.proc = mount
		return
	case m.Type == "devpts" && p == "dev/pts":
		t.devpts = mount
		return
	case m.Type == "tmpfs":
		t.fresh[p] = make(map[string]bool)
	}
	t.b.Close(mount)
}
