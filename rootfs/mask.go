package rootfs

import (
	"strconv"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// masks hides paths: a directory below an empty one, anything else below
// /dev/null. Both come from the host's side or are made new, never from the
// rootfs, so there is nothing to verify (CVE-2025-31133). One empty file
// system serves all directories; a copy of a mount needs it to be attached
// somewhere, so it covers the host's /proc, which nothing needs any more and
// which the pivot leaves behind.
func (t *Tree) masks(paths []string) {
	if len(paths) == 0 {
		return
	}
	t.b.At("linux.maskedPaths", "the empty directory for masked paths").For(plan.ForMask, "")
	empty := t.emptyDirectory()
	t.keepNull()
	seen := make(map[string]bool, len(paths))
	for i, p := range paths {
		if seen[p] {
			continue
		}
		seen[p] = true
		t.b.At("linux.maskedPaths["+strconv.Itoa(i)+"]", "mask "+p).For(plan.ForMask, "")
		t.mask(p, empty)
	}
	t.b.Close(empty)
}

func (t *Tree) emptyDirectory() plan.Slot {
	empty := t.makeEmpty()
	t.b.Do(plan.MoveMount{FromFD: empty.Ref(), ToFD: plan.AtCWD(), ToPath: "/proc", Flags: unix.MOVE_MOUNT_F_EMPTY_PATH})
	return empty
}

// keepNull puts a read-only mount of the host's /dev/null over it, which the
// masks are copies of: a mask has the node's owner and mode, and the container's
// root could change them on the host.
func (t *Tree) keepNull() {
	t.b.At("linux.maskedPaths", "the file for masked files").For(plan.ForMask, "")
	null := t.b.Get("null", openTree("/dev/null", false))
	t.setattr(null, attributes{set: hostNodeFlags}, 0, false)
	t.b.Do(plan.MoveMount{FromFD: null.Ref(), ToFD: plan.AtCWD(), ToPath: "/dev/null", Flags: unix.MOVE_MOUNT_F_EMPTY_PATH})
	t.b.Close(null)
}

// makeEmpty makes an empty directory that stays empty.
func (t *Tree) makeEmpty() plan.Slot {
	fs := t.b.Get("fs", plan.Fsopen{Type: "tmpfs"})
	t.set(fs, "nr_inodes", "1")
	t.set(fs, "mode", "555")
	t.label(fs)
	t.b.Do(plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_CMD_CREATE})
	const attrs = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	empty := t.b.Get("empty", plan.Fsmount{FD: fs.Ref(), Attrs: attrs})
	t.b.Close(fs)
	return empty
}

// mask covers one path, if it is there.
func (t *Tree) mask(p string, empty plan.Slot) {
	end := t.b.Label()
	target := t.b.Slot("mask")
	t.b.Add(plan.Step{Op: t.openKernel(p), Result: target,
		Tolerate: []plan.Errno{{Errno: unix.ENOENT, To: end}, {Errno: unix.ENOTDIR, To: end}}})
	switch t.facts.Proc[p] {
	case host.Directory:
		t.cover(t.copyOf(empty), target)
	case host.Missing:
		t.maskEither(target, empty)
	default:
		t.cover(t.b.Get("null", openTree("/dev/null", false)), target)
	}
	t.b.Close(target)
	t.b.Place(end)
}

// maskEither covers a path of unknown kind: a file cannot be mounted on a
// directory, and that refusal says so.
func (t *Tree) maskEither(target, empty plan.Slot) {
	directory, end := t.b.Label(), t.b.Label()
	null := t.b.Get("null", openTree("/dev/null", false))
	t.b.Add(plan.Step{Op: move(null, target), OnZero: end,
		Tolerate: []plan.Errno{{Errno: unix.EINVAL, To: directory}, {Errno: unix.ENOTDIR, To: directory}}})
	t.b.Place(directory)
	t.cover(t.copyOf(empty), target)
	t.b.Place(end)
	t.b.Close(null)
}

func (t *Tree) cover(mount, target plan.Slot) {
	t.b.Do(move(mount, target))
	t.b.Close(mount)
}

func move(mount, target plan.Slot) plan.MoveMount {
	return plan.MoveMount{FromFD: mount.Ref(), ToFD: target.Ref(),
		Flags: unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH}
}

// copyOf clones an open mount.
func (t *Tree) copyOf(mount plan.Slot) plan.Slot {
	return t.b.Get("copy", plan.OpenTree{DirFD: mount.Ref(),
		Flags: unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH | unix.AT_RECURSIVE})
}

// readonly makes paths read-only with all below them, if they are there.
func (t *Tree) readonly(paths []string) {
	for i, p := range paths {
		t.b.At("linux.readonlyPaths["+strconv.Itoa(i)+"]", "make "+p+" read-only").For(plan.ForMask, "")
		end := t.b.Label()
		target := t.b.Slot("readonly")
		t.b.Add(plan.Step{Op: t.openKernel(p), Result: target,
			Tolerate: []plan.Errno{{Errno: unix.ENOENT, To: end}, {Errno: unix.ENOTDIR, To: end}}})
		mount := t.copyOf(target)
		t.setattr(mount, attributes{set: unix.MOUNT_ATTR_RDONLY}, 0, true)
		t.cover(mount, target)
		t.b.Close(target)
		t.b.Place(end)
	}
}
