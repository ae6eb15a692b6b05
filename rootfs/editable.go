package rootfs

import (
	"slices"
	"strconv"

	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// Theory of operation: files that the container may edit
//
// A file that the runtime writes for a container lies in the caller's state root, which
// mostly is in memory that the caller's whole session shares. A container that may
// change such a file must not fill that, nor leave in it what it likes, so it has a
// copy, in a tmpfs of a bounded size. The kernel clones a mount only from the mount
// namespace that it is in, so the tmpfs is attached: over the directory of the host that
// the root is attached over next. What the runtime writes only while init waits is copied
// after that, through the original that was opened as the caller.

// EditableSize is how many bytes those files of a container may have together.
const EditableSize = 16 << 20

// editable is such a file.
type editable struct {
	name     string
	original plan.Slot
}

// isEditable reports whether a mount is that of such a file.
func (t *Tree) isEditable(m *Mount) bool { return slices.Contains(t.config.Editable, m.Source) }

// openOriginal opens what is copied.
func (t *Tree) openOriginal(m *Mount) {
	original := t.b.Get("original", plan.Openat2{DirFD: plan.AtCWD(), Path: m.Source, Flags: unix.O_RDONLY | unix.O_CLOEXEC})
	_, name := splitPath(m.Source)
	t.editable = append(t.editable, editable{name, original})
}

// makeMemory makes the file system for them, if there are any.
func (t *Tree) makeMemory(at string) {
	if len(t.editable) == 0 {
		return
	}
	t.b.At("default", "make memory for "+t.editable[0].name).For(plan.ForMount, "tmpfs")
	fs := t.b.Get("fs", plan.Fsopen{Type: "tmpfs"})
	t.set(fs, "mode", "755")
	t.set(fs, "size", strconv.Itoa(EditableSize))
	t.set(fs, "nr_inodes", strconv.Itoa(len(t.editable)+1))
	t.label(fs)
	t.b.Do(plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_CMD_CREATE})
	t.memory = t.b.Get("memory", plan.Fsmount{FD: fs.Ref(), Attrs: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC})
	t.b.Close(fs)
	t.attachAt(t.memory, at)
}

// cloneCopy makes the empty copy, and clones its mount.
func (t *Tree) cloneCopy(m *Mount) {
	_, name := splitPath(m.Source)
	t.b.Do(plan.Mknodat{DirFD: t.memory.Ref(), Path: name, Mode: unix.S_IFREG | 0o644})
	m.source = t.b.Get("source", plan.OpenTree{DirFD: t.memory.Ref(), Path: name, Flags: unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC})
}

// FillCopies copies what the runtime has written by now.
func (t *Tree) FillCopies() {
	for _, f := range t.editable {
		t.b.At("default", "write the container's "+f.name)
		op := t.openBelow(t.memory, f.name)
		op.Flags = unix.O_WRONLY | unix.O_CLOEXEC
		to := t.b.Get("copy", op)
		t.b.Do(plan.Sendfile{Out: to.Ref(), In: f.original.Ref(), Count: EditableSize})
		t.b.Close(to)
		t.b.Close(f.original)
	}
	if t.memory != 0 {
		t.b.Close(t.memory)
	}
}
