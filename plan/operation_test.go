package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Descriptors of the slots that the rows below may use.
const (
	dirFD  = 40
	fileFD = 41
)

// row is an operation with its printed form and its arguments as the kernel
// gets them. An argument is an int, a cell, a string, a list of strings, nil
// for NULL, or a kernel structure whose bytes must be at the address.
type row struct {
	op     Operation
	text   string
	number uintptr
	args   []any
}

// cell is an argument read from a slot that holds the number.
type cell int

// slots are those of the rows: $dir and $file.
type slots struct{ dir, file Slot }

func TestOperations(t *testing.T) {
	b := NewBuilder(3)
	s := slots{b.Input("dir", dirFD), b.Input("file", fileFD)}
	for _, r := range slices.Concat(fileRows(s), mountRows(s), treeRows(s), processRows(s), terminalRows(s), scheduleRows(), listenerRows(s)) {
		t.Run(reflect.TypeOf(r.op).Name()+" "+r.text, func(t *testing.T) { r.test(t) })
	}
}

// test holds one operation against its row.
func (r row) test(t *testing.T) {
	b := NewBuilder(3)
	b.Input("dir", dirFD)
	b.Input("file", fileFD)
	b.Do(r.op)
	p := lower(b)
	if got := p.WithValues().Text(0); got != r.text {
		t.Errorf("printed\n%s\nwant\n%s", got, r.text)
	}
	image := encode(p)
	if len(image.Code) > p.CodeSize() {
		t.Errorf("the code has %d bytes, CodeSize says at most %d", len(image.Code), p.CodeSize())
	}
	rec := image.record(0)
	if rec.number != int(r.number) || len(r.args) > len(rec.args) {
		t.Fatalf("system call %d, want %d with %d arguments", rec.number, r.number, len(r.args))
	}
	for i, want := range append(slices.Clone(r.args), make([]any, 6-len(r.args))...) {
		if why := image.differs(rec, i, want); why != "" {
			t.Errorf("argument %d %s", i, why)
		}
	}
}

func TestEveryOperationHasARow(t *testing.T) {
	tested := map[string]bool{}
	for _, r := range slices.Concat(fileRows(slots{}), mountRows(slots{}), treeRows(slots{}), processRows(slots{}), terminalRows(slots{}), scheduleRows(), listenerRows(slots{})) {
		tested[reflect.TypeOf(r.op).Name()] = true
	}
	types := operationTypes(t)
	if len(types) < 40 {
		t.Fatalf("found only the operation types %v", types)
	}
	for _, name := range types {
		if !tested[name] {
			t.Errorf("operation %s has no row in TestOperations", name)
		}
	}
}

// operationTypes finds the types with a method Call() Call in the package's
// source.
func operationTypes(t *testing.T) []string {
	isSource := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
	packages, err := parser.ParseDir(token.NewFileSet(), ".", isSource, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range packages["plan"].Files {
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "Call" {
				names = append(names, fn.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	return names
}

func fileRows(s slots) []row {
	dir, file := s.dir.Ref(), s.file.Ref()
	return []row{
		{Mkdirat{dir, "proc", 0o755}, `mkdirat($dir, "proc", 0755)`, unix.SYS_MKDIRAT, []any{cell(dirFD), "proc", 0o755}},
		{Mkdirat{AtCWD(), "a\"b", 0}, `mkdirat(AT_FDCWD, "a\"b", 000)`, unix.SYS_MKDIRAT, []any{-100, `a"b`, 0}},
		{Mknodat{DirFD: dir, Path: "null", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3},
			`mknodat($dir, "null", S_IFCHR|0666, makedev(0x1, 0x3))`, unix.SYS_MKNODAT,
			[]any{cell(dirFD), "null", unix.S_IFCHR | 0o666, int(unix.Mkdev(1, 3))}},
		{Mknodat{DirFD: dir, Path: "sda", Mode: unix.S_IFBLK | 0o600, Major: 259, Minor: 300},
			`mknodat($dir, "sda", S_IFBLK|0600, makedev(0x103, 0x12c))`, unix.SYS_MKNODAT,
			[]any{cell(dirFD), "sda", unix.S_IFBLK | 0o600, int(unix.Mkdev(259, 300))}},
		{Mknodat{DirFD: dir, Path: "f", Mode: unix.S_IFREG | 0o644}, `mknodat($dir, "f", S_IFREG|0644)`,
			unix.SYS_MKNODAT, []any{cell(dirFD), "f", unix.S_IFREG | 0o644}},
		{Mknodat{DirFD: dir, Path: "p", Mode: unix.S_IFIFO | 0o600, Major: 7}, `mknodat($dir, "p", S_IFIFO|0600)`,
			unix.SYS_MKNODAT, []any{cell(dirFD), "p", unix.S_IFIFO | 0o600}},
		{Symlinkat{"/proc/self/fd", dir, "fd"}, `symlinkat("/proc/self/fd", $dir, "fd")`, unix.SYS_SYMLINKAT,
			[]any{"/proc/self/fd", cell(dirFD), "fd"}},
		{Fchownat{dir, "x", 5, -1, unix.AT_SYMLINK_NOFOLLOW}, `fchownat($dir, "x", 5, -1, AT_SYMLINK_NOFOLLOW)`,
			unix.SYS_FCHOWNAT, []any{cell(dirFD), "x", 5, -1, unix.AT_SYMLINK_NOFOLLOW}},
		{Fchmodat{dir, "x", 0o1777}, `fchmodat($dir, "x", 01777)`, unix.SYS_FCHMODAT, []any{cell(dirFD), "x", 0o1777}},
		{Fchown{file, 7, -1}, `fchown($file, 7, -1)`, unix.SYS_FCHOWN, []any{cell(fileFD), 7, -1}},
		{Fchdir{dir}, `fchdir($dir)`, unix.SYS_FCHDIR, []any{cell(dirFD)}},
		{Chdir{"/home"}, `chdir("/home")`, unix.SYS_CHDIR, []any{"/home"}},
		{Faccessat{AtCWD(), "/bin/sh", 0}, `faccessat(AT_FDCWD, "/bin/sh", F_OK)`, unix.SYS_FACCESSAT, []any{-100, "/bin/sh", 0}},
		{Faccessat{AtCWD(), "/bin/sh", unix.X_OK}, `faccessat(AT_FDCWD, "/bin/sh", X_OK)`, unix.SYS_FACCESSAT, []any{-100, "/bin/sh", 1}},
		{Close{file}, `close($file)`, unix.SYS_CLOSE, []any{cell(fileFD)}},
		{CloseRange{First: 5}, `close_range(5, 4294967295, 0)`, unix.SYS_CLOSE_RANGE, []any{5, -1, 0}},
		{CloseRange{First: 3, Flags: unix.CLOSE_RANGE_CLOEXEC}, `close_range(3, 4294967295, CLOSE_RANGE_CLOEXEC)`,
			unix.SYS_CLOSE_RANGE, []any{3, -1, unix.CLOSE_RANGE_CLOEXEC}},
		{Dup3{file, 0, 0}, `dup3($file, 0, 0)`, unix.SYS_DUP3, []any{cell(fileFD), 0, 0}},
		{Dup3{file, 9, unix.O_CLOEXEC}, `dup3($file, 9, O_CLOEXEC)`, unix.SYS_DUP3, []any{cell(fileFD), 9, unix.O_CLOEXEC}},
		{Read{file, 1}, `read($file, buffer, 1)`, unix.SYS_READ, []any{cell(fileFD), [1]byte{}, 1}},
		{Write{file, "0 1000 1\n"}, `write($file, "0 1000 1\n", 9)`, unix.SYS_WRITE, []any{cell(fileFD), []byte("0 1000 1\n"), 9}},
		{Signal{FD: Int(3), Tag: 2}, `write(3, {tag=2, value=0}, 8)`, unix.SYS_WRITE, []any{3, [2]uint32{SignalBit | 2, 0}, 8}},
		{Umask{0o22}, `umask(022)`, unix.SYS_UMASK, []any{0o22}},
		{Umask{}, `umask(000)`, unix.SYS_UMASK, []any{0}},
		{Mmap{0x480000, 16 << 20, s.file.Ref()},
			`mmap(0x480000, 16777216, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_NORESERVE|MAP_FIXED_NOREPLACE, $file, 0)`, unix.SYS_MMAP,
			[]any{0x480000, 16 << 20, unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_FIXED_NOREPLACE | unix.MAP_NORESERVE, cell(fileFD)}},
		{Socket{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0}, `socket(AF_UNIX, SOCK_DGRAM|SOCK_CLOEXEC, 0)`,
			unix.SYS_SOCKET, []any{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0}},
		{SetInterfaceFlags{file, "lo", unix.IFF_UP | unix.IFF_RUNNING},
			`ioctl($file, SIOCSIFFLAGS, {ifr_name="lo", ifr_flags=IFF_UP|IFF_RUNNING})`, unix.SYS_IOCTL,
			[]any{cell(fileFD), unix.SIOCSIFFLAGS, interfaceRequest("lo", unix.IFF_UP|unix.IFF_RUNNING)}},
	}
}

// interfaceRequest is a struct ifreq with flags: netdevice(7).
func interfaceRequest(name string, flags uint16) any {
	r := struct {
		Name  [unix.IFNAMSIZ]byte
		Flags uint16
		Rest  [22]byte
	}{Flags: flags}
	copy(r.Name[:], name)
	return r
}

func mountRows(s slots) []row {
	dir, file := s.dir.Ref(), s.file.Ref()
	const clone = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
	const in = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	return []row{
		{OpenTree{AtCWD(), "/srv", clone}, `open_tree(AT_FDCWD, "/srv", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE)`,
			unix.SYS_OPEN_TREE, []any{-100, "/srv", clone}},
		{MoveMount{FromFD: file, ToFD: dir, Flags: in},
			`move_mount($file, "", $dir, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)`,
			unix.SYS_MOVE_MOUNT, []any{cell(fileFD), "", cell(dirFD), "", in}},
		{MountSetattr{DirFD: file, Flags: unix.AT_EMPTY_PATH | unix.AT_RECURSIVE, Set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID},
			`mount_setattr($file, "", AT_EMPTY_PATH|AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID, attr_clr=0, propagation=0, userns_fd=0}, 32)`,
			unix.SYS_MOUNT_SETATTR, []any{cell(fileFD), "", unix.AT_EMPTY_PATH | unix.AT_RECURSIVE,
				unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}, unix.MOUNT_ATTR_SIZE_VER0}},
		{MountSetattr{DirFD: AtCWD(), Path: "/", Propagation: unix.MS_PRIVATE, UserNS: Int(9), Set: unix.MOUNT_ATTR_IDMAP},
			`mount_setattr(AT_FDCWD, "/", 0, {attr_set=MOUNT_ATTR_IDMAP, attr_clr=0, propagation=MS_PRIVATE, userns_fd=9}, 32)`,
			unix.SYS_MOUNT_SETATTR, []any{-100, "/", 0,
				unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Propagation: unix.MS_PRIVATE, Userns_fd: 9}, 32}},
		{MountSetattr{DirFD: file, UserNS: dir, Clear: unix.MOUNT_ATTR__ATIME},
			`mount_setattr($file, "", 0, {attr_set=0, attr_clr=MOUNT_ATTR__ATIME, propagation=0, userns_fd=$dir}, 32)`,
			unix.SYS_MOUNT_SETATTR, []any{cell(fileFD), "", 0,
				unix.MountAttr{Attr_clr: unix.MOUNT_ATTR__ATIME, Userns_fd: dirFD}, 32}},
		{Fsopen{"tmpfs"}, `fsopen("tmpfs", FSOPEN_CLOEXEC)`, unix.SYS_FSOPEN, []any{"tmpfs", unix.FSOPEN_CLOEXEC}},
		{Fsconfig{file, unix.FSCONFIG_SET_STRING, "mode", "755"}, `fsconfig($file, FSCONFIG_SET_STRING, "mode", "755", 0)`,
			unix.SYS_FSCONFIG, []any{cell(fileFD), unix.FSCONFIG_SET_STRING, "mode", "755", 0}},
		{Fsconfig{FD: file, Command: unix.FSCONFIG_SET_FLAG, Key: "newinstance"},
			`fsconfig($file, FSCONFIG_SET_FLAG, "newinstance", NULL, 0)`,
			unix.SYS_FSCONFIG, []any{cell(fileFD), unix.FSCONFIG_SET_FLAG, "newinstance", nil, 0}},
		{Fsconfig{FD: file, Command: unix.FSCONFIG_CMD_CREATE}, `fsconfig($file, FSCONFIG_CMD_CREATE, NULL, NULL, 0)`,
			unix.SYS_FSCONFIG, []any{cell(fileFD), unix.FSCONFIG_CMD_CREATE, nil, nil, 0}},
		{Fsmount{file, unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC},
			`fsmount($file, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC)`, unix.SYS_FSMOUNT,
			[]any{cell(fileFD), unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}},
		{PivotRoot{".", "."}, `pivot_root(".", ".")`, unix.SYS_PIVOT_ROOT, []any{".", "."}},
		{Umount2{".", unix.MNT_DETACH}, `umount2(".", MNT_DETACH)`, unix.SYS_UMOUNT2, []any{".", unix.MNT_DETACH}},
		{Chroot{"."}, `chroot(".")`, unix.SYS_CHROOT, []any{"."}},
		{Openat2{DirFD: dir, Path: "proc", Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT},
			`openat2($dir, "proc", {flags=O_RDONLY|O_CLOEXEC|O_PATH, resolve=RESOLVE_IN_ROOT}, 24)`, unix.SYS_OPENAT2,
			[]any{cell(dirFD), "proc", unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}, 24}},
		{Openat2{DirFD: AtCWD(), Path: "f", Flags: unix.O_CREAT | unix.O_WRONLY, Mode: 0o600},
			`openat2(AT_FDCWD, "f", {flags=O_WRONLY|O_CREAT, mode=0600, resolve=0}, 24)`, unix.SYS_OPENAT2,
			[]any{-100, "f", unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: 0o600}, 24}},
		{Clone3{Flags: unix.CLONE_PARENT | unix.CLONE_NEWNS | unix.CLONE_NEWPID},
			`clone3({flags=CLONE_PARENT|CLONE_NEWNS|CLONE_NEWPID, exit_signal=0, stack=NULL, stack_size=0}, 88)`,
			unix.SYS_CLONE3, []any{cloneArgs{Flags: unix.CLONE_PARENT | unix.CLONE_NEWNS | unix.CLONE_NEWPID}, 88}},
		{Clone{Flags: unix.CLONE_PARENT | unix.CLONE_NEWNET}, `clone(child_stack=NULL, flags=CLONE_PARENT|CLONE_NEWNET)`,
			unix.SYS_CLONE, []any{unix.CLONE_PARENT | unix.CLONE_NEWNET}},
		{Clone{Flags: unix.CLONE_FILES | uint64(unix.SIGCHLD)}, `clone(child_stack=NULL, flags=CLONE_FILES|SIGCHLD)`,
			unix.SYS_CLONE, []any{unix.CLONE_FILES | int(unix.SIGCHLD)}},
		{Clone3{ExitSignal: int(unix.SIGCHLD)}, `clone3({flags=0, exit_signal=SIGCHLD, stack=NULL, stack_size=0}, 88)`,
			unix.SYS_CLONE3, []any{cloneArgs{ExitSignal: uint64(unix.SIGCHLD)}, 88}},
		{Clone3{Flags: unix.CLONE_INTO_CGROUP, Cgroup: dir, ExitSignal: int(unix.SIGCHLD)},
			`clone3({flags=CLONE_INTO_CGROUP, exit_signal=SIGCHLD, stack=NULL, stack_size=0, cgroup=$dir}, 88)`,
			unix.SYS_CLONE3, []any{cloneArgs{Flags: unix.CLONE_INTO_CGROUP, ExitSignal: uint64(unix.SIGCHLD), Cgroup: dirFD}, 88}},
	}
}

// TestCloneChoosesTheID: clone(2), "The set_tid array".
func TestCloneChoosesTheID(t *testing.T) {
	b := NewBuilder(3)
	b.Do(Clone3{ExitSignal: int(unix.SIGCHLD), TID: 2})
	p := lower(b)
	want := `clone3({flags=0, exit_signal=SIGCHLD, stack=NULL, stack_size=0, set_tid=[2], set_tid_size=1}, 88)`
	if got := p.Text(0); got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
	image := encode(p)
	args := uint32(image.record(0).args[0])
	if id := image.at(image.word(args + 64)); image.word(args+72) != 1 || len(id) < 4 || !slices.Equal(id[:4], []byte{2, 0, 0, 0}) {
		t.Errorf("set_tid is %v, %d of them", id, image.word(args+72))
	}
}

// cloneArgs is struct clone_args: clone(2).
type cloneArgs struct {
	Flags, PidFD, ChildTID, ParentTID, ExitSignal, Stack, StackSize, TLS, SetTID, SetTIDSize, Cgroup uint64
}
