package rootfs

import (
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Config is what the file system is made from.
type Config struct {
	Spec  *specs.Spec
	Facts *host.Facts
	// Mounts are those of Spec, read by ReadMounts.
	Mounts []Mount
	// Absolute makes a source's path absolute: relative ones count from the
	// bundle.
	Absolute func(string) string
	// Here is the absolute path of a source that is the caller's current directory;
	// empty where there is none.
	Here string
	// NewUser, NewCgroup, NewPID, NewIPC say that the container gets such a
	// namespace of its own.
	NewUser, NewCgroup, NewPID, NewIPC bool
	// Joined are the CLONE_NEW* of those that it gets by their path, and that are not the
	// caller's.
	Joined int
	// UIDs and GIDs are the id maps of the container's new user namespace;
	// UserNamespace is the path of one that it joins.
	UIDs, GIDs    []host.Mapping
	UserNamespace string
	// Inputs are the descriptors that IDMaps asks for, by mount.
	Inputs map[int]plan.Slot
	// Cgroup is the directory that a cgroup mount without a cgroup namespace
	// shows; empty for the whole tree.
	Cgroup string
	// Editable are sources of bind mounts, absolute: files that the runtime writes until
	// FillCopies, and that the container may change. It gets copies.
	Editable []string
	// CopyOutside writes the steps that let the runtime copy from one mount to
	// another while init waits.
	CopyOutside func(c Copy, from, to plan.Slot)
	// Overlay keeps the root as it is, nil if it is not asked for. Fill: what is in
	// the root belongs to somebody whom the container does not have.
	Overlay *Overlay
	Fill    bool
	// NoPivot moves the root over / and changes into it instead: for a host
	// whose root is a ramfs. The old root stays mounted below; not safe.
	NoPivot bool
}

// Sources writes the first part: the root and the host's side of all bind
// mounts, cloned while the credentials are the caller's. Call it first in the
// new mount namespace.
func Sources(b *plan.Builder, c Config) (*Tree, []Mount, error) {
	t := newTree(b, c)
	mounts := c.Mounts
	if err := rootfsError(c.Facts.Rootfs); err != nil {
		return nil, nil, err
	}
	// With a shared root, sources stay in the host's peer groups, as engines
	// mean that want a volume's mounts to appear outside; then they are cloned
	// first. Everything else is cut off before.
	p, _ := propagationOption(propagationName(c.Spec))
	shared := p.flag == unix.MS_SHARED
	if !shared {
		t.cutOff()
	}
	if err := t.openRoot(p.flag); err != nil {
		return nil, nil, err
	}
	if err := t.openSources(mounts); err != nil {
		return nil, nil, err
	}
	if shared {
		t.cutOff()
	}
	return t, mounts, nil
}

// cutOff lets nothing that is made here propagate into the host.
func (t *Tree) cutOff() {
	t.b.At("linux.rootfsPropagation", "keep mounts inside")
	t.b.Do(plan.MountSetattr{DirFD: plan.AtCWD(), Path: "/", Flags: unix.AT_RECURSIVE, Propagation: unix.MS_SLAVE})
}

// openRoot makes the container's root mount of the rootfs. It receives mounts
// of the host only if its propagation says so.
func (t *Tree) openRoot(propagation uint64) error {
	if t.config.Overlay != nil {
		return t.openStore()
	}
	p := t.facts.Rootfs.Path
	t.b.At("root.path", "open the root "+p).For(plan.ForRoot, "")
	t.root = t.b.Get("root", openTree(p, true))
	if p == "/" && t.config.Spec.Root.Readonly {
		// The host's own file system, with all that is mounted on it.
		t.b.At("root.readonly", "make the host's file systems read-only")
		t.setattr(t.root, attributes{set: unix.MOUNT_ATTR_RDONLY}, 0, true)
		t.b.At("root.path", "open the root "+p).For(plan.ForRoot, "")
	}
	switch propagation {
	case unix.MS_SHARED:
		t.setattr(t.root, attributes{}, unix.MS_SLAVE, true)
	case unix.MS_SLAVE:
	default:
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

// rootfsError says what is wrong with the root directory.
func rootfsError(r host.Source) error {
	e := &fault.Error{Place: "root.path", What: "open the root " + r.Path}
	switch {
	case r.Error == "ENOENT":
		e.Why, e.Errno = words(unix.ENOENT), unix.ENOENT
		e.Hint = "the rootfs of a bundle lies beside its config.json; make it, or correct root.path"
	case r.Error == "EACCES":
		e.Why, e.Errno = words(unix.EACCES), unix.EACCES
		e.Hint = "the caller cannot pass a directory on the way"
	case r.Error != "":
		e.Why = r.Error
	case r.Kind != host.Directory:
		e.Why, e.Errno = words(unix.ENOTDIR), unix.ENOTDIR
	case !strings.HasPrefix(r.Path, "/"):
		e.Why = "the facts have no absolute path for it"
	default:
		return nil
	}
	return e
}

// words is an errno's text with its name.
func words(errno unix.Errno) string { return errno.Error() + " (" + plan.ErrnoName(errno) + ")" }

// Mounts writes the second part, with the credentials of the container's root:
// the root attached, all mounts, devices, and links.
func (t *Tree) Mounts(mounts []Mount) error {
	at := t.attachPoint()
	t.makeMemory(at)
	t.b.At("root.path", "attach the root "+t.facts.Rootfs.Path).For(plan.ForRoot, "")
	if t.config.Overlay != nil {
		t.overlay(at)
	} else {
		t.attachAt(t.root, at)
	}
	if err := t.mounts(mounts); err != nil {
		return err
	}
	return t.devices(linux(t.config.Spec).Devices, mounts)
}

// Late makes mounts that had to wait for something.
func (t *Tree) Late(mounts []Mount) error { return t.mounts(mounts) }

// replaceRoot goes on in a mount that covers the root: what the descriptor of
// the old one leads to is hidden below it.
func (t *Tree) replaceRoot(m *Mount, mount plan.Slot) {
	if inside(m.Destination) != "" {
		return
	}
	op := t.openBelow(mount, ".")
	op.Flags |= unix.O_DIRECTORY
	t.root = t.b.Get("root", op)
}

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

// Parameters opens a procfs in which the kernel's parameters can be written: the
// container's own, where that is whole; else one for the runtime's own use. The
// caller gives it back to CloseParameters.
func (t *Tree) Parameters() plan.Slot {
	if t.procIsWhole {
		return t.proc // another would have to be made, and ended again
	}
	return t.ownProc()
}

// CloseParameters is for what Parameters opened.
func (t *Tree) CloseParameters(proc plan.Slot) {
	if proc != t.proc {
		t.b.Close(proc)
	}
}

// ownProc makes a procfs for the runtime's own use, which is attached nowhere:
// what config.json mounts on /proc, or over a part of it, may be read-only or
// not all there. The PID namespace is the container's, and so are the other
// namespaces whose parameters it shows, because the caller is in them. Where the
// kernel refuses another procfs (EPERM), the host's serves, whose parameters are
// those of the caller's namespaces too.
func (t *Tree) ownProc() plan.Slot {
	none, refused, done := t.b.Label(), t.b.Label(), t.b.Label()
	fs, proc := t.b.Slot("fs"), t.b.Slot("ownproc")
	t.b.Add(plan.Step{Op: plan.Fsopen{Type: "proc"}, Result: fs, Tolerate: onEPERM(none)})
	t.b.Add(plan.Step{Op: plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_CMD_CREATE}, Tolerate: onEPERM(refused)})
	const attrs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	t.b.Add(plan.Step{Op: plan.Fsmount{FD: fs.Ref(), Attrs: attrs}, Result: proc, Tolerate: onEPERM(refused)})
	t.b.Add(plan.Step{Op: plan.Close{FD: fs.Ref()}, OnZero: done})
	t.b.Place(refused)
	t.b.Close(fs)
	t.b.Place(none)
	t.b.Add(plan.Step{Op: plan.Openat2{DirFD: plan.AtCWD(), Path: "/proc", Flags: pathFlags | unix.O_DIRECTORY}, Result: proc})
	t.b.Place(done)
	return proc
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
func (t *Tree) Finish() {
	l := linux(t.config.Spec)
	for _, m := range t.late {
		t.b.At(m.pointer, m.what+" read-only").For(plan.ForMount, "")
		t.setattr(m.mount, attributes{set: unix.MOUNT_ATTR_RDONLY}, 0, false)
	}
	if t.config.NoPivot {
		t.hideKernelMounts()
	}
	t.readonly(l.ReadonlyPaths)
	t.masks(l.MaskedPaths)
	t.enter()
}

// hideKernelMounts takes the host's procfs and sysfs out of the way of
// --no-pivot, where the old root stays below the new one. The kernel lets a
// user namespace mount a procfs only if it sees a whole one, and an old one
// that is only hidden by the new root would count. What cannot be unmounted,
// because it is locked, is covered.
func (t *Tree) hideKernelMounts() {
	for _, p := range t.facts.KernelMounts {
		t.b.At("default", "hide the host's "+p)
		covered, end := t.b.Label(), t.b.Label()
		t.b.Add(plan.Step{Op: plan.Umount2{Target: p, Flags: unix.MNT_DETACH}, OnZero: end, Tolerate: []plan.Errno{
			{Errno: unix.EINVAL, To: covered}, {Errno: unix.EPERM, To: covered}, {Errno: unix.ENOENT, To: end}}})
		t.b.Place(covered)
		empty := t.makeEmpty()
		t.b.Do(plan.MoveMount{FromFD: empty.Ref(), ToFD: plan.AtCWD(), ToPath: p, Flags: unix.MOVE_MOUNT_F_EMPTY_PATH})
		t.b.Close(empty)
		t.b.Place(end)
	}
}

// enter makes the container's root the root, and leaves the old one.
func (t *Tree) enter() {
	if t.config.Spec.Root.Readonly {
		t.b.At("root.readonly", "make the root read-only")
		t.setattr(t.root, attributes{set: unix.MOUNT_ATTR_RDONLY}, 0, false)
	}
	t.b.At("root.path", "enter the root "+t.facts.Rootfs.Path).For(plan.ForRoot, "")
	t.b.Do(plan.Fchdir{FD: t.root.Ref()})
	if t.config.NoPivot {
		t.b.Do(plan.MoveMount{FromFD: t.root.Ref(), ToFD: plan.AtCWD(), ToPath: "/", Flags: unix.MOVE_MOUNT_F_EMPTY_PATH})
		t.b.Do(plan.Chroot{Path: "."})
	} else {
		t.b.Do(plan.PivotRoot{NewRoot: ".", PutOld: "."})
		t.b.Do(plan.Umount2{Target: ".", Flags: unix.MNT_DETACH})
	}
	t.b.Do(plan.Chdir{Path: "/"})
	t.rootPropagation()
}

// rootPropagation gives the root the propagation of config.json; private is
// what it has.
func (t *Tree) rootPropagation() {
	name := propagationName(t.config.Spec)
	p, ok := propagationOption(name)
	if !ok || p.flag == unix.MS_PRIVATE && !p.deep {
		return
	}
	t.b.At("linux.rootfsPropagation", "make the root "+name)
	t.setattr(t.root, attributes{}, p.flag, p.deep)
}
