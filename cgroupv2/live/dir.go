// Package live acts on the cgroup file system: it makes, limits, measures,
// freezes, kills and removes cgroups, and looks where the runtime may have some.
// What is to be written, and what text means, package cgroupv2 knows.
//
// Every access goes through a directory's file descriptor and openat2 with
// RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV, so a file name from
// config.json (unified, hugetlb) cannot lead elsewhere, and a cgroup that was
// removed and made anew under the same name is not taken for the old one:
// operations on the old descriptor answer ENODEV or ENOENT.
//
// Files are opened for each access and closed at once. A cgroup's files are
// tiny; one read of a large buffer gets a consistent picture, two might not.
package live

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// Dir is an open cgroup directory. It is safe for concurrent use, Close
// excepted.
type Dir struct {
	fd   int
	path string
	// foreign cgroups belong to a service manager: see Enable.
	foreign bool
}

// failed is the error of what a system call said; op is what was tried with a file of
// the cgroup, or with the cgroup itself.
func (d *Dir) failed(op, file string, err error) *fault.Error {
	var errno unix.Errno
	reason := err.Error()
	if errors.As(err, &errno) {
		reason = strings.TrimSuffix(strings.TrimSuffix(reason, errno.Error()), ": ")
	}
	return d.because(op, file, reason, errno)
}

// because is an error with a reason, an errno, or both.
func (d *Dir) because(op, file, reason string, errno unix.Errno) *fault.Error {
	return &fault.Error{What: "cgroupv2: " + op + " " + path.Join(d.path, file), Why: why(reason, errno), Errno: errno}
}

// why puts an errno after what is known beside it.
func why(reason string, errno unix.Errno) string {
	if errno != 0 {
		reason = strings.TrimPrefix(reason+": "+errnoText(errno), ": ")
	}
	return reason
}

// writing is a write to a file as what was tried.
func writing(value string) string { return "write " + strconv.Quote(value) + " to" }

// refused is the error of what the kernel refused although the controller is there,
// with the fix.
func (d *Dir) refused(op, file string, err error) *fault.Error {
	e := d.failed(op, file, err)
	e.Hint = cgroupv2.Refusal{File: file, Errno: e.Errno}.Hint()
	return e
}

// Tree is a file system of cgroups, by its type as statfs(2) has it. The zero Tree is
// the kernel's, cgroup2. Tests have another one, with ordinary directories for cgroups.
type Tree int64

// Open is Tree.Open in the kernel's tree.
func Open(name string) (*Dir, error) { return Tree(0).Open(name) }

// Open opens the cgroup at an absolute path; it must be a directory of the tree. The
// descriptor (see FD) also serves CLONE_INTO_CGROUP. Errors are *fault.Error.
func (t Tree) Open(name string) (*Dir, error) {
	d := &Dir{path: name}
	fd, err := retry(func() (int, error) {
		return unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, d.failed("open", "", err)
	}
	d.fd = fd
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil || Tree(st.Type) != cmp.Or(t, unix.CGROUP2_SUPER_MAGIC) {
		unix.Close(fd)
		return nil, d.because("open", "", "is not on a cgroup2 file system", 0)
	}
	return d, nil
}

// Reopen is Tree.Reopen in the kernel's tree.
func Reopen(name string, id uint64) (*Dir, error) { return Tree(0).Reopen(name, id) }

// Reopen opens the cgroup at an absolute path if it is still the one with this
// ID. One that was removed is a *fault.Error with ENOENT, also when another has its
// name by now.
func (t Tree) Reopen(name string, id uint64) (*Dir, error) {
	d, err := t.Open(name)
	if err != nil {
		return nil, err
	}
	if d.ID() != id {
		d.Close()
		return nil, d.because("open", "", "is another cgroup by now", unix.ENOENT)
	}
	return d, nil
}

// ID is the number of the cgroup, which no other gets until the machine boots
// again (Linux 5.5, where the inode number is the 64-bit id); never 0.
func (d *Dir) ID() uint64 {
	var st unix.Stat_t
	_ = unix.Fstat(d.fd, &st) // of an open directory of cgroup2: it does not fail
	return st.Ino
}

// FD is the directory's descriptor, valid until Close, marked close-on-exec.
func (d *Dir) FD() int { return d.fd }

// Path is the absolute path by which the directory was opened.
func (d *Dir) Path() string { return d.path }

// Close releases the descriptor; the cgroup stays.
func (d *Dir) Close() error { return unix.Close(d.fd) }

// Sub opens a cgroup below d by a relative path. Errors are *fault.Error.
func (d *Dir) Sub(relative string) (*Dir, error) {
	fd, err := d.open(relative, unix.O_RDONLY|unix.O_DIRECTORY)
	if err == unix.EXDEV {
		return nil, d.because("open "+relative+" below", "", "bad sub cgroup path: it leads out", unix.EXDEV)
	}
	if err != nil {
		return nil, d.failed("open", relative, err)
	}
	return &Dir{fd: fd, path: path.Join(d.path, relative)}, nil
}

func (d *Dir) open(name string, flags uint64) (int, error) {
	how := &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	return retry(func() (int, error) { return unix.Openat2(d.fd, name, how) })
}

// retry repeats a call that was interrupted; openat2 beneath also answers
// EAGAIN when something was renamed meanwhile. Bounded, so that nothing hangs.
func retry(call func() (int, error)) (n int, err error) {
	for range 100 {
		if n, err = call(); err != unix.EINTR && err != unix.EAGAIN {
			break
		}
	}
	return n, err
}

// read returns a file's content without its last newline.
func (d *Dir) read(name string) (string, error) {
	fd, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return readAll(fd)
}

func readAll(fd int) (string, error) {
	var content []byte
	buf := make([]byte, 16<<10)
	for {
		n, err := retry(func() (int, error) { return unix.Read(fd, buf) })
		if err != nil {
			return "", err
		}
		if n == 0 {
			return string(bytes.TrimSuffix(content, []byte("\n"))), nil
		}
		content = append(content, buf[:n]...)
	}
}

// write hands the value over in one write(2), as cgroup files want it.
func (d *Dir) write(name, value string) error {
	fd, err := d.open(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = retry(func() (int, error) { return unix.Write(fd, []byte(value)) })
	return err
}

// fields reads a file of "key value" lines.
func (d *Dir) fields(name string) (map[string]uint64, error) {
	text, err := d.read(name)
	if err != nil {
		return nil, err
	}
	return cgroupv2.ParseFields(text), nil
}

// words reads a file of words, as cgroup.controllers.
func (d *Dir) words(name string) ([]string, error) {
	text, err := d.read(name)
	return strings.Fields(text), err
}

// Available names the controllers that d's children may be given
// (cgroup.controllers). Errors are *fault.Error.
func (d *Dir) Available() ([]string, error) {
	names, err := d.words("cgroup.controllers")
	if err != nil {
		return nil, d.failed("read", "cgroup.controllers", err)
	}
	return names, nil
}

// absent reports whether no cgroup at or above d has the controller.
func (d *Dir) absent(controller string) bool {
	for dir := d.path; ; dir = path.Dir(dir) {
		text, err := os.ReadFile(dir + "/cgroup.controllers")
		if err != nil || dir == "/" {
			return dir != d.path // else nothing is known
		}
		if slices.Contains(strings.Fields(string(text)), controller) {
			return false
		}
	}
}

// gone is true for the errnos of a cgroup that was removed: ENOENT at open,
// ENODEV at read and write.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// errnoText names an errno as the last word of a line. ENOENT goes without
// its phrase: podman and docker read "no such file or directory" anywhere in a
// runtime's message as "the command does not exist".
func errnoText(errno unix.Errno) string {
	name := unix.ErrnoName(errno)
	if errno == unix.ENOENT {
		return name
	}
	return errno.Error() + " (" + name + ")"
}
