package plan

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Mkdirat makes a directory: mkdir(2).
type Mkdirat struct {
	DirFD Ref
	Path  string
	Mode  uint32
}

// Call implements Operation.
func (o Mkdirat) Call() Call {
	return Call{"mkdirat", unix.SYS_MKDIRAT, []Arg{dirfd(o.DirFD), text(o.Path), octal(o.Mode)}}
}

// Mknodat makes a file, a FIFO or a device node: mknod(2).
type Mknodat struct {
	DirFD Ref
	Path  string
	// Mode has the type of the file (S_IFREG) and its permissions.
	Mode         uint32
	Major, Minor uint32
}

// Call implements Operation.
func (o Mknodat) Call() Call {
	args := []Arg{dirfd(o.DirFD), text(o.Path), flags(int(o.Mode), fileModes)}
	if t := o.Mode & unix.S_IFMT; t == unix.S_IFCHR || t == unix.S_IFBLK {
		show := "makedev(" + showHex(int64(o.Major)) + ", " + showHex(int64(o.Minor)) + ")"
		args = append(args, Arg{ref: Int(int(kernelDev(o.Major, o.Minor))), show: func(int64) string { return show }})
	}
	return Call{"mknodat", unix.SYS_MKNODAT, args}
}

// kernelDev is the 32-bit device number that mknod(2) takes.
func kernelDev(major, minor uint32) uint32 {
	return minor&0xff | (major&0xfff)<<8 | (minor&^0xff)<<12
}

// Symlinkat makes a symbolic link: symlink(2).
type Symlinkat struct {
	Target   string
	DirFD    Ref
	LinkPath string
}

// Call implements Operation.
func (o Symlinkat) Call() Call {
	return Call{"symlinkat", unix.SYS_SYMLINKAT, []Arg{text(o.Target), dirfd(o.DirFD), text(o.LinkPath)}}
}

// Fchownat changes a file's owner: chown(2).
type Fchownat struct {
	DirFD    Ref
	Path     string
	UID, GID int
	Flags    int
}

// Call implements Operation.
func (o Fchownat) Call() Call {
	return Call{"fchownat", unix.SYS_FCHOWNAT, []Arg{
		dirfd(o.DirFD), text(o.Path), number(o.UID), number(o.GID), flags(o.Flags, atFlags)}}
}

// Fchmodat changes a file's permissions: chmod(2). It follows symbolic links,
// so the name must be one that the plan made itself.
type Fchmodat struct {
	DirFD Ref
	Path  string
	Mode  uint32
}

// Call implements Operation.
func (o Fchmodat) Call() Call {
	return Call{"fchmodat", unix.SYS_FCHMODAT, []Arg{dirfd(o.DirFD), text(o.Path), octal(o.Mode)}}
}

// Fchown changes the owner of an open file: fchown(2). -1 leaves an id.
type Fchown struct {
	FD       Ref
	UID, GID int
}

// Call implements Operation.
func (o Fchown) Call() Call {
	return Call{"fchown", unix.SYS_FCHOWN, []Arg{ref(o.FD), number(o.UID), number(o.GID)}}
}

// Fchdir changes the working directory to an open one: fchdir(2).
type Fchdir struct{ FD Ref }

// Call implements Operation.
func (o Fchdir) Call() Call { return Call{"fchdir", unix.SYS_FCHDIR, []Arg{ref(o.FD)}} }

// Chdir changes the working directory: chdir(2).
type Chdir struct{ Path string }

// Call implements Operation.
func (o Chdir) Call() Call { return Call{"chdir", unix.SYS_CHDIR, []Arg{text(o.Path)}} }

// Getcwd asks for the name of the working directory, in Size bytes: getcwd(2).
// Nobody reads the name; that it does not fit (ERANGE) says more than "/".
type Getcwd struct{ Size int }

// Call implements Operation.
func (o Getcwd) Call() Call {
	m := &Memory{Bytes: make([]byte, max(o.Size, 1)), Mutable: true}
	m.Show = func(func(Ref) string) string { return "buffer" }
	return Call{"getcwd", unix.SYS_GETCWD, []Arg{memory(m), number(o.Size)}}
}

// Faccessat asks whether a file is there (Mode 0, F_OK) or may be executed
// (X_OK): access(2).
type Faccessat struct {
	DirFD Ref
	Path  string
	Mode  int
}

// Call implements Operation.
func (o Faccessat) Call() Call {
	return Call{"faccessat", unix.SYS_FACCESSAT, []Arg{
		dirfd(o.DirFD), text(o.Path), flags(o.Mode, accessModes)}}
}

func accessModes(n int64) string { return table{{0, "F_OK"}, {unix.X_OK, "X_OK"}}.value(n) }

// Close closes a descriptor: close(2).
type Close struct{ FD Ref }

// Call implements Operation.
func (o Close) Call() Call { return Call{"close", unix.SYS_CLOSE, []Arg{ref(o.FD)}} }

// CloseRange closes all descriptors from First on, up to Last if that is not 0.
// CLOSE_RANGE_CLOEXEC closes them at execve; CLOSE_RANGE_UNSHARE leaves a table
// that is shared with another process to that one: close_range(2), Linux 5.9,
// the first flag 5.11.
type CloseRange struct {
	First, Flags int
	Last         int
}

// Call implements Operation.
func (o CloseRange) Call() Call {
	last := Arg{ref: Int(-1), show: showUnsigned}
	if o.Last != 0 {
		last = number(o.Last)
	}
	return Call{"close_range", unix.SYS_CLOSE_RANGE, []Arg{number(o.First), last, flags(o.Flags, closeRangeFlags)}}
}

func closeRangeFlags(n int64) string {
	return table{{unix.CLOSE_RANGE_CLOEXEC, "CLOSE_RANGE_CLOEXEC"}, {unix.CLOSE_RANGE_UNSHARE, "CLOSE_RANGE_UNSHARE"}}.flags(n)
}

// Dup3 copies a descriptor to a number: dup(2).
type Dup3 struct {
	Old   Ref
	New   int
	Flags int
}

// Call implements Operation.
func (o Dup3) Call() Call {
	return Call{"dup3", unix.SYS_DUP3, []Arg{ref(o.Old), number(o.New), flags(o.Flags, openFlagsOnly)}}
}

// openFlagsOnly prints flags such as dup3's, which have no access mode.
func openFlagsOnly(n int64) string {
	return table{{unix.O_CLOEXEC, "O_CLOEXEC"}, {unix.O_NONBLOCK, "O_NONBLOCK"}}.flags(n)
}

// Read reads up to Size bytes that nobody looks at: read(2). As an await it is
// a read of one byte with Want 1: 0 means that the other side died.
type Read struct {
	FD   Ref
	Size int
}

// Call implements Operation.
func (o Read) Call() Call {
	m := &Memory{Bytes: make([]byte, max(o.Size, 1)), Mutable: true}
	m.Show = func(func(Ref) string) string { return "buffer" }
	return Call{"read", unix.SYS_READ, []Arg{ref(o.FD), memory(m), number(o.Size)}}
}

// Write writes bytes: write(2).
type Write struct {
	FD   Ref
	Data string
}

// Call implements Operation.
func (o Write) Call() Call {
	return Call{"write", unix.SYS_WRITE, []Arg{
		ref(o.FD), memory(quoted(o.Data)), number(len(o.Data))}}
}

// Lseek moves a descriptor's offset, to what may be a slot or by that: lseek(2). Its
// result is the new offset.
type Lseek struct {
	FD, Offset Ref
	// Whence is SEEK_SET or SEEK_CUR.
	Whence int
}

// Call implements Operation.
func (o Lseek) Call() Call {
	return Call{"lseek", unix.SYS_LSEEK, []Arg{ref(o.FD), ref(o.Offset), flags(o.Whence, whences)}}
}

func whences(n int64) string {
	return table{{unix.SEEK_SET, "SEEK_SET"}, {unix.SEEK_CUR, "SEEK_CUR"}}.value(n)
}

// Ftruncate gives a file a length, which may be a slot: ftruncate(2). A longer one
// takes no room on the disk.
type Ftruncate struct{ FD, Length Ref }

// Call implements Operation.
func (o Ftruncate) Call() Call {
	return Call{"ftruncate", unix.SYS_FTRUNCATE, []Arg{ref(o.FD), ref(o.Length)}}
}

// Signal tells the runtime on the report descriptor that something happened:
// an 8-byte record of a tag and a value (see package stage). It is a write(2).
type Signal struct {
	FD    Ref
	Tag   uint32
	Value Slot
}

// SignalBit is set in the tag of a signal's record, and clear in the record of
// an operation that failed.
const SignalBit = 1 << 31

// Call implements Operation.
func (o Signal) Call() Call {
	m := &Memory{Bytes: halves(SignalBit|o.Tag, 0), Mutable: true}
	if o.Value != 0 {
		m.Cells = []Cell{{Offset: 4, Slot: o.Value}}
	}
	m.Show = func(name func(Ref) string) string {
		return "{tag=" + strconv.Itoa(int(o.Tag)) + ", value=" + name(o.Value.Ref()) + "}"
	}
	return Call{"write", unix.SYS_WRITE, []Arg{ref(o.FD), memory(m), number(8)}}
}

// Umask sets the file mode creation mask: umask(2).
type Umask struct{ Mask uint32 }

// Call implements Operation.
func (o Umask) Call() Call { return Call{"umask", unix.SYS_UMASK, []Arg{octal(o.Mask)}} }

// Socket makes a socket that is closed at execve: socket(2).
type Socket struct{ Domain, Type, Protocol int }

// Call implements Operation.
func (o Socket) Call() Call {
	return Call{"socket", unix.SYS_SOCKET, []Arg{
		flags(o.Domain, domains), flags(o.Type, socketTypes), number(o.Protocol)}}
}

func domains(n int64) string {
	return table{{unix.AF_UNIX, "AF_UNIX"}, {unix.AF_NETLINK, "AF_NETLINK"}}.value(n)
}

func socketTypes(n int64) string {
	s := table{{unix.SOCK_STREAM, "SOCK_STREAM"}, {unix.SOCK_DGRAM, "SOCK_DGRAM"}}.value(n & 0xf)
	if n&unix.SOCK_CLOEXEC != 0 {
		s += "|SOCK_CLOEXEC"
	}
	return s
}

// SetInterfaceFlags sets a network interface's flags by an ioctl that works on
// a socket of any family: netdevice(7), SIOCSIFFLAGS.
type SetInterfaceFlags struct {
	FD    Ref
	Name  string
	Flags uint16
}

// Call implements Operation.
func (o SetInterfaceFlags) Call() Call {
	request := fixed(ifreq(o.Name, o.Flags), func() string {
		return "{ifr_name=" + quote(o.Name) + ", ifr_flags=" + interfaceFlags(int64(o.Flags)) + "}"
	})
	return Call{"ioctl", unix.SYS_IOCTL, []Arg{
		ref(o.FD), flags(unix.SIOCSIFFLAGS, func(int64) string { return "SIOCSIFFLAGS" }), memory(request)}}
}

func interfaceFlags(n int64) string {
	return table{{unix.IFF_UP, "IFF_UP"}, {unix.IFF_RUNNING, "IFF_RUNNING"}}.flags(n)
}

// Mmap maps a file, copy on write, at a fixed address where nothing is mapped:
// mmap(2), MAP_FIXED_NOREPLACE (Linux 4.17).
type Mmap struct {
	Address, Size uint32
	FD            Ref
}

// Call implements Operation.
func (o Mmap) Call() Call {
	return Call{"mmap", unix.SYS_MMAP, []Arg{flags(int(o.Address), showHex), flags(int(o.Size), showUnsigned),
		flags(unix.PROT_READ|unix.PROT_WRITE, protections), flags(unix.MAP_PRIVATE|unix.MAP_FIXED_NOREPLACE|unix.MAP_NORESERVE, mapFlags),
		ref(o.FD), flags(0, showHex)}}
}

func protections(n int64) string {
	return table{{unix.PROT_READ, "PROT_READ"}, {unix.PROT_WRITE, "PROT_WRITE"}}.flags(n)
}

func mapFlags(n int64) string {
	return table{{unix.MAP_PRIVATE, "MAP_PRIVATE"}, {unix.MAP_NORESERVE, "MAP_NORESERVE"},
		{unix.MAP_FIXED_NOREPLACE, "MAP_FIXED_NOREPLACE"}}.flags(n)
}
