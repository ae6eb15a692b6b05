package rootfs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Mount is a mount of config.json with its options read, and its source open
// where it has one.
type Mount struct {
	specs.Mount
	index   int
	options options
	source  plan.Slot
	host    host.Source
	// late says that it becomes read-only at the end; later, that its source
	// is opened only when it is mounted.
	late, later bool
}

// IsCgroup reports whether it is a mount of the cgroup tree.
func (m *Mount) IsCgroup() bool { return m.Type == "cgroup" || m.Type == "cgroup2" }

func (m *Mount) pointer() string { return "mounts[" + strconv.Itoa(m.index) + "]" }

func (m *Mount) what() string {
	switch {
	case m.options.remount:
		return "remount " + m.Destination
	case m.options.bind:
		return "mount " + m.Source + " on " + m.Destination
	}
	if m.Type == "" {
		return "mount on " + m.Destination
	}
	return "mount " + m.Type + " on " + m.Destination
}

func (m *Mount) error(why string, errno unix.Errno) *fault.Error {
	return &fault.Error{Place: m.pointer(), What: m.what(), Why: why, Errno: errno}
}

// at sets the reason of the steps that follow: the mount.
func (t *Tree) at(m *Mount) {
	kind := m.Type
	if m.options.bind || m.options.remount {
		kind = ""
	}
	t.b.At(m.pointer(), m.what()).For(plan.ForMount, kind)
}

// optionError is about an option.
func (m *Mount) optionError(why string) *fault.Error {
	e := m.error(why, 0)
	e.Place += ".options"
	return e
}

// ReadMounts reads the options of all mounts of config.json. The error is an
// *fault.Error.
func ReadMounts(list []specs.Mount) ([]Mount, error) {
	mounts := make([]Mount, len(list))
	for i := range list {
		m := &mounts[i]
		*m = Mount{Mount: list[i], index: i, options: parseOptions(list[i].Options)}
		if m.Type == "bind" {
			m.options.bind = true
		}
		if m.options.bind {
			m.options.parameters = slices.DeleteFunc(m.options.parameters, ofVolumes)
		}
		if err := m.check(); err != nil {
			return nil, err
		}
	}
	return mounts, nil
}

// ofVolumes reports whether an option says what goes into a new volume (podman-run(1)). Podman
// does not take it out of a directory's: podman run -v /srv:/srv:nocopy.
func ofVolumes(option string) bool { return option == "copy" || option == "nocopy" }

func (m *Mount) check() error {
	o := &m.options
	switch {
	case o.remount && (m.mapped() || o.copyUp || o.copySymlink):
		return m.optionError("remount changes a mount that is there, so idmap, tmpcopyup and copy-symlink cannot go with it")
	case o.remount:
		return nil
	case o.copyUp && (o.bind || m.Type != "tmpfs"):
		return m.optionError("tmpcopyup is an option of tmpfs")
	case o.bind && m.unknownOption() != "":
		return m.optionError(fmt.Sprintf("unknown mount option %q", m.unknownOption()))
	case !o.bind && (m.Type == "" || m.Type == "none"):
		return m.error("it has neither a type nor the option bind", 0)
	}
	return nil
}

// unknownOption is an option of a bind mount that could be a mount flag with a
// mistake in it. Parameters with a value (mode=755) are those of a new file
// system: for a bind mount the kernel ignores them, mount(2).
func (m *Mount) unknownOption() string {
	for _, text := range m.options.parameters {
		for _, p := range splitData(text) {
			key, _, valued := strings.Cut(p, "=")
			if !valued || slices.Contains(OptionNames(), key) {
				return p
			}
		}
	}
	return ""
}

// mounts makes all mounts in the order of config.json.
func (t *Tree) mounts(list []Mount) error {
	t.findLastBelow(list)
	for i := range list {
		m := &list[i]
		t.at(m)
		if err := t.mount(m); err != nil {
			return err
		}
	}
	return nil
}

// findLastBelow finds for each directory the last mount below it.
func (t *Tree) findLastBelow(list []Mount) {
	t.lastBelow = make(map[string]int)
	for i := range list {
		for p := inside(list[i].Destination); p != ""; {
			p = parent(p)
			t.lastBelow[p] = list[i].index
		}
	}
}

// mount makes one.
func (t *Tree) mount(m *Mount) error {
	switch {
	case m.options.remount:
		t.remount(m)
		return nil
	case m.options.copySymlink && m.host.Kind == host.Symlink:
		return t.copySymlink(m)
	}
	m.late = m.options.attributes()&unix.MOUNT_ATTR_RDONLY != 0 && t.filledLater(m)
	p := inside(m.Destination)
	t.forget(p)
	t.touchProc(m.Destination)
	if !t.isStraight(m.Destination) {
		t.byLink = true
	}
	err := t.makeByKind(m)
	if !m.options.copyUp {
		delete(t.copied, p)
	}
	t.hide(p)
	t.made[p] = m
	return err
}

// makeByKind makes a mount by its kind.
func (t *Tree) makeByKind(m *Mount) error {
	switch {
	case m.options.bind:
		t.bind(m)
	case m.IsCgroup():
		return t.cgroup(m)
	default:
		if from := t.hostInstead(m); from != "" && t.facts.Sources[from].Error == "" {
			return t.orHost(m, from)
		}
		return t.fileSystem(m)
	}
	return nil
}

// hostInstead is where the host has the file system, if the kernel may refuse
// another one because its namespace is not the container's own. Processes and queues of a
// namespace that is joined by its path are others than the host's.
func (t *Tree) hostInstead(m *Mount) string {
	switch {
	case !t.restricted:
	case m.Type == "sysfs" && m.options.attributes()&unix.MOUNT_ATTR_RDONLY != 0:
		return "/sys"
	case m.Type == "proc" && !t.config.NewPID && t.config.Joined&unix.CLONE_NEWPID == 0:
		return "/proc"
	case m.Type == "mqueue" && !t.config.NewIPC && t.config.Joined&unix.CLONE_NEWIPC == 0:
		return "/dev/mqueue"
	}
	return ""
}

// filledLater reports whether it is a new file system in which something is still to be made,
// so that it can be read-only only after that.
func (t *Tree) filledLater(m *Mount) bool {
	p := inside(m.Destination)
	switch {
	case m.options.bind || m.Type == "proc" || m.Type == "sysfs" || m.IsCgroup():
		return false
	case m.Type == "mqueue":
		return t.labelsQueues(m)
	case p == "dev" || m.options.copyUp:
		return true
	}
	if t.lastBelow[p] > m.index {
		return true
	}
	for _, d := range linux(t.config.Spec).Devices {
		if isBelow(inside(d.Path), p) {
			return true
		}
	}
	return false
}
