package plan

import (
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenTree opens, or with OPEN_TREE_CLONE copies, the mount at a path:
// open_tree(2), Linux 5.2.
type OpenTree struct {
	DirFD Ref
	Path  string
	Flags int
}

// Call implements Operation.
func (o OpenTree) Call() Call {
	return Call{"open_tree", unix.SYS_OPEN_TREE, []Arg{
		dirfd(o.DirFD), text(o.Path), flags(o.Flags, openTreeFlags)}}
}

// MoveMount attaches a mount that is an open descriptor: move_mount(2),
// Linux 5.2.
type MoveMount struct {
	FromFD   Ref
	FromPath string
	ToFD     Ref
	ToPath   string
	Flags    int
}

// Call implements Operation.
func (o MoveMount) Call() Call {
	return Call{"move_mount", unix.SYS_MOVE_MOUNT, []Arg{
		dirfd(o.FromFD), text(o.FromPath), dirfd(o.ToFD), text(o.ToPath), flags(o.Flags, moveMountFlags)}}
}

// MountSetattr changes the attributes of a mount, touching no others:
// mount_setattr(2), Linux 5.12.
type MountSetattr struct {
	DirFD Ref
	Path  string
	Flags int
	// Set and Clear are MOUNT_ATTR_*.
	Set, Clear uint64
	// Propagation is MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE or 0.
	Propagation uint64
	// UserNS is the user namespace for MOUNT_ATTR_IDMAP: a descriptor that the
	// stage inherits, or a slot.
	UserNS Ref
}

// Call implements Operation.
func (o MountSetattr) Call() Call {
	m := &Memory{Bytes: words(o.Set, o.Clear, o.Propagation, uint64(uint32(o.UserNS.Number)))}
	if o.UserNS.Slot != 0 {
		m.Cells = []Cell{{Offset: 24, Slot: o.UserNS.Slot}}
	}
	m.Show = func(name func(Ref) string) string {
		return "{attr_set=" + mountAttrs(int64(o.Set)) + ", attr_clr=" + mountAttrs(int64(o.Clear)) +
			", propagation=" + propagations(int64(o.Propagation)) + ", userns_fd=" + name(o.UserNS) + "}"
	}
	return Call{"mount_setattr", unix.SYS_MOUNT_SETATTR, []Arg{
		dirfd(o.DirFD), text(o.Path), flags(o.Flags, atFlags), memory(m), number(unix.MOUNT_ATTR_SIZE_VER0)}}
}

// Fsopen starts the making of a file system: fsopen(2), Linux 5.2.
type Fsopen struct{ Type string }

// Call implements Operation.
func (o Fsopen) Call() Call {
	return Call{"fsopen", unix.SYS_FSOPEN, []Arg{
		text(o.Type), flags(unix.FSOPEN_CLOEXEC, func(int64) string { return "FSOPEN_CLOEXEC" })}}
}

// Fsconfig sets one parameter of a file system that is being made, or with
// FSCONFIG_CMD_CREATE makes it: fsconfig(2), Linux 5.2.
type Fsconfig struct {
	FD      Ref
	Command int
	Key     string
	Value   string
}

// Call implements Operation.
func (o Fsconfig) Call() Call {
	key, value := null(), null()
	if o.Command == unix.FSCONFIG_SET_STRING || o.Command == unix.FSCONFIG_SET_FLAG {
		key = text(o.Key)
	}
	if o.Command == unix.FSCONFIG_SET_STRING {
		value = text(o.Value)
	}
	return Call{"fsconfig", unix.SYS_FSCONFIG, []Arg{
		ref(o.FD), flags(o.Command, fsconfigCommands), key, value, number(0)}}
}

func fsconfigCommands(n int64) string {
	return table{
		{unix.FSCONFIG_SET_FLAG, "FSCONFIG_SET_FLAG"}, {unix.FSCONFIG_SET_STRING, "FSCONFIG_SET_STRING"},
		{unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE"}, {unix.FSCONFIG_CMD_RECONFIGURE, "FSCONFIG_CMD_RECONFIGURE"},
	}.value(n)
}

// Fsmount makes a detached mount of a file system: fsmount(2), Linux 5.2.
type Fsmount struct {
	FD Ref
	// Attrs are MOUNT_ATTR_*.
	Attrs int
}

// Call implements Operation.
func (o Fsmount) Call() Call {
	return Call{"fsmount", unix.SYS_FSMOUNT, []Arg{
		ref(o.FD), flags(unix.FSMOUNT_CLOEXEC, func(int64) string { return "FSMOUNT_CLOEXEC" }),
		flags(o.Attrs, mountAttrs)}}
}

// PivotRoot changes the root mount: pivot_root(2). With "." twice the old root
// is left stacked on the new one, to be detached.
type PivotRoot struct{ NewRoot, PutOld string }

// Call implements Operation.
func (o PivotRoot) Call() Call {
	return Call{"pivot_root", unix.SYS_PIVOT_ROOT, []Arg{text(o.NewRoot), text(o.PutOld)}}
}

// Umount2 detaches a mount: umount(2).
type Umount2 struct {
	Target string
	Flags  int
}

// Call implements Operation.
func (o Umount2) Call() Call {
	return Call{"umount2", unix.SYS_UMOUNT2, []Arg{text(o.Target), flags(o.Flags, umountFlags)}}
}

// Chroot changes the root directory: chroot(2). Only --no-pivot uses it.
type Chroot struct{ Path string }

// Call implements Operation.
func (o Chroot) Call() Call { return Call{"chroot", unix.SYS_CHROOT, []Arg{text(o.Path)}} }

// Openat2 opens a file with limits on how its path is resolved: openat2(2),
// Linux 5.6. With RESOLVE_IN_ROOT a symbolic link cannot lead out of DirFD.
type Openat2 struct {
	DirFD   Ref
	Path    string
	Flags   int
	Mode    uint32
	Resolve uint64
}

// Call implements Operation.
func (o Openat2) Call() Call {
	m := &Memory{Bytes: words(uint64(o.Flags), uint64(o.Mode), o.Resolve)}
	m.Show = func(func(Ref) string) string {
		s := "{flags=" + openFlags(int64(o.Flags))
		if o.Mode != 0 {
			s += ", mode=" + showOctal(int64(o.Mode))
		}
		if o.Resolve != 0 {
			s += ", resolve=" + resolveFlags(int64(o.Resolve))
		} else {
			s += ", resolve=0"
		}
		return s + "}"
	}
	return Call{"openat2", unix.SYS_OPENAT2, []Arg{
		dirfd(o.DirFD), text(o.Path), memory(m), number(unix.SizeofOpenHow)}}
}

// Clone3 makes a process: clone3(2), Linux 5.3. With CLONE_PARENT it becomes
// the runtime's child; both sides go on with the next step.
type Clone3 struct {
	Flags uint64
	// Cgroup is a directory for CLONE_INTO_CGROUP (Linux 5.7), or 0.
	Cgroup Ref
	// ExitSignal must be 0 with CLONE_PARENT.
	ExitSignal int
	// TID is the process's id in its PID namespace (Linux 5.5), or 0 for the next one.
	TID int
}

// Call implements Operation.
func (o Clone3) Call() Call {
	b := words(o.Flags, 0, 0, 0, uint64(o.ExitSignal), 0, 0, 0, 0, 0, uint64(uint32(o.Cgroup.Number)))
	m := &Memory{Bytes: b}
	if o.Cgroup.Slot != 0 {
		m.Cells = []Cell{{Offset: 80, Slot: o.Cgroup.Slot}}
	}
	if o.TID != 0 {
		m.Pointers, b[72] = []Pointer{{Offset: 64, Memory: &Memory{Bytes: halves(uint32(o.TID))}}}, 1
	}
	m.Show = func(name func(Ref) string) string { return o.show(name) }
	return Call{"clone3", unix.SYS_CLONE3, []Arg{memory(m), number(len(b))}}
}

func (o Clone3) show(name func(Ref) string) string {
	names := []string{}
	if low := int64(o.Flags & 0xffffffff); low != 0 {
		names = append(names, cloneFlags(low))
	}
	if o.Flags&unix.CLONE_INTO_CGROUP != 0 {
		names = append(names, "CLONE_INTO_CGROUP")
	}
	if len(names) == 0 {
		names = []string{"0"}
	}
	s := "{flags=" + strings.Join(names, "|") + ", exit_signal=" + signalName(o.ExitSignal) +
		", stack=NULL, stack_size=0"
	if o.TID != 0 {
		s += ", set_tid=[" + strconv.Itoa(o.TID) + "], set_tid_size=1"
	}
	if o.Flags&unix.CLONE_INTO_CGROUP != 0 {
		s += ", cgroup=" + name(o.Cgroup)
	}
	return s + "}"
}

// ifreq is a struct ifreq with a name and flags, 40 bytes on 64-bit machines.
func ifreq(name string, flags uint16) []byte {
	b := make([]byte, 40)
	copy(b[:15], name)
	binary.LittleEndian.PutUint16(b[16:], flags)
	return b
}
