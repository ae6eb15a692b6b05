package rootfs

import (
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Config is what the file system is made from.
type Config struct {
	Spec  *specs.Spec
	Facts *host.Facts
	// Absolute makes a source's path absolute: relative ones count from the
	// bundle.
	Absolute func(string) string
	// NewUser, NewCgroup say that the container gets such a namespace of its
	// own.
	NewUser, NewCgroup bool
	// NoPivot moves the root over / and changes into it instead: for a host
	// whose root is a ramfs. The old root stays mounted below; not safe.
	NoPivot bool
}

// Sources writes the first part: the root and the host's side of all bind
// mounts, cloned while the credentials are the caller's. Call it first in the
// new mount namespace.
func Sources(b *plan.Builder, c Config) (*Tree, []Mount, error) {
	t := &Tree{b: b, facts: c.Facts, fresh: make(map[string]map[string]bool), directories: make(map[string]plan.Slot),
		restricted: c.NewUser || !c.Facts.UserNamespace.Initial, ownCgroupNamespace: c.NewCgroup}
	mounts, err := readMounts(c.Spec.Mounts)
	if err != nil {
		return nil, nil, err
	}
	if err := t.openRoot(c); err != nil {
		return nil, nil, err
	}
	return t, mounts, t.openSources(mounts, c.Absolute)
}

// openRoot makes the container's root mount of the rootfs. First nothing of
// the host may propagate out, and nothing that is made here into the host.
func (t *Tree) openRoot(c Config) error {
	rootfs := c.Facts.Rootfs
	if err := rootfsError(rootfs); err != nil {
		return err
	}
	t.b.At("linux.rootfsPropagation", "keep mounts inside")
	t.b.Do(plan.MountSetattr{DirFD: plan.AtCWD(), Path: "/", Flags: unix.AT_RECURSIVE, Propagation: unix.MS_SLAVE})
	t.b.At("root.path", "open the root "+rootfs.Path)
	t.root = t.b.Get("root", openTree(rootfs.Path, true))
	if rootfs.Path == "/" && c.Spec.Root.Readonly {
		// The host's own file system, with all that is mounted on it.
		t.b.At("root.readonly", "make the host's file systems read-only")
		t.setattr(t.root, attributes{set: unix.MOUNT_ATTR_RDONLY}, 0, true)
		t.b.At("root.path", "open the root "+rootfs.Path)
	}
	if p, _, _ := propagationOption(propagationName(c.Spec)); p != unix.MS_SHARED && p != unix.MS_SLAVE {
		t.setattr(t.root, attributes{}, unix.MS_PRIVATE, true)
	}
	return nil
}

func propagationName(s *specs.Spec) string {
	if s.Linux == nil {
		return ""
	}
	return s.Linux.RootfsPropagation
}

// rootfsError tells what is wrong with the root directory.
func rootfsError(r host.Source) error {
	e := &Error{Pointer: "root.path", What: "open the root " + r.Path}
	switch {
	case r.Error == "ENOENT":
		e.Why, e.Errno = unix.ENOENT.Error(), unix.ENOENT
		e.Hint = "the rootfs of a bundle lies beside its config.json; make it, or correct root.path"
	case r.Error == "EACCES":
		e.Why, e.Errno = unix.EACCES.Error(), unix.EACCES
	case r.Error != "":
		e.Why = r.Error
	case r.Kind != host.Directory:
		e.Why, e.Errno = unix.ENOTDIR.Error(), unix.ENOTDIR
	default:
		return nil
	}
	return e
}

// Mounts writes the second part, with the credentials of the container's root:
// the root attached, all mounts, devices, and links.
func (t *Tree) Mounts(c Config, mounts []Mount) {
	t.b.At("root.path", "attach the root "+t.facts.Rootfs.Path)
	at := t.facts.Rootfs.Path
	if at == "/" {
		at = "/tmp" // the root itself cannot be covered; any directory serves
	}
	t.b.Do(plan.MoveMount{FromFD: t.root.Ref(), ToFD: plan.AtCWD(), ToPath: at, Flags: unix.MOVE_MOUNT_F_EMPTY_PATH})
	t.mounts(mounts)
	t.devices(configDevices(linux(c.Spec).Devices), mounts)
}

// Late makes mounts that had to wait for something.
func (t *Tree) Late(mounts []Mount) { t.mounts(mounts) }

func linux(s *specs.Spec) *specs.Linux {
	if s.Linux == nil {
		return &specs.Linux{}
	}
	return s.Linux
}

// MakeDirectory makes a directory in the container if the facts say that it is
// missing: a working directory.
func (t *Tree) MakeDirectory(p string) {
	known, ok := t.known(p)
	if inside(p) == "" || ok && known.Kind != host.Missing {
		return
	}
	t.b.Close(t.target(p, true))
}

// Proc opens the container's own procfs, which is one by construction; or, if
// config.json mounts none, the host's.
func (t *Tree) Proc() plan.Slot {
	if t.proc != 0 {
		return t.proc
	}
	return t.b.Get("hostproc", plan.Openat2{DirFD: plan.AtCWD(), Path: "/proc", Flags: pathFlags | unix.O_DIRECTORY})
}

// Devpts is the mount at /dev/pts, or 0.
func (t *Tree) Devpts() plan.Slot { return t.devpts }

// Console binds an open terminal to /dev/console (CVE-2025-52565: it is never
// found by path).
func (t *Tree) Console(terminal plan.Slot) {
	mount := t.copyOf(terminal)
	target := t.target("/dev/console", false)
	t.cover(mount, target)
	t.b.Close(target)
}

// OpenInside opens a file below the root.
func (t *Tree) OpenInside(name, p string, flags int) plan.Slot {
	return t.b.Get(name, t.open(inside(p), flags|unix.O_CLOEXEC))
}

// Finish writes the last part: what is masked and read-only, and the pivot.
func (t *Tree) Finish(c Config) {
	l := linux(c.Spec)
	t.readonly(l.ReadonlyPaths)
	t.masks(l.MaskedPaths)
	t.enter(c)
}

// enter makes the container's root the root, and leaves the old one.
func (t *Tree) enter(c Config) {
	if c.Spec.Root.Readonly {
		t.b.At("root.readonly", "make the root read-only")
		t.setattr(t.root, attributes{set: unix.MOUNT_ATTR_RDONLY}, 0, false)
	}
	t.b.At("root.path", "enter the root "+t.facts.Rootfs.Path)
	t.b.Do(plan.Fchdir{FD: t.root.Ref()})
	if c.NoPivot {
		t.b.Do(plan.MoveMount{FromFD: t.root.Ref(), ToFD: plan.AtCWD(), ToPath: "/", Flags: unix.MOVE_MOUNT_F_EMPTY_PATH})
		t.b.Do(plan.Chroot{Path: "."})
	} else {
		t.b.Do(plan.PivotRoot{NewRoot: ".", PutOld: "."})
		t.b.Do(plan.Umount2{Target: ".", Flags: unix.MNT_DETACH})
	}
	t.b.Do(plan.Chdir{Path: "/"})
	t.rootPropagation(c)
}

// rootPropagation gives the root the propagation of config.json; private is
// what it has.
func (t *Tree) rootPropagation(c Config) {
	name := propagationName(c.Spec)
	flag, deep, ok := propagationOption(name)
	if !ok || flag == unix.MS_PRIVATE && !deep {
		return
	}
	t.b.At("linux.rootfsPropagation", "make the root "+name)
	t.setattr(t.root, attributes{}, flag, deep)
}
