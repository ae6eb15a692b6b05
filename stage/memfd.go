package stage

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/homerun-oci/homerun/descriptor"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// The image is executed by the path of a descriptor. A memfd cannot be written
// by anybody once it is sealed, and no file is left behind. Where executable
// memfds are forbidden (vm.memfd_noexec=2, Linux 6.3), an unnamed file in the
// runtime directory takes its place; it has no seals, but it is opened for
// reading only and the kernel refuses to open a running program for writing.

const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// materialize writes the image to a descriptor that can be executed.
func materialize(img image, dirs []string) (int, error) {
	fd, err := executableMemfd()
	if err != nil {
		return unnamedFile(img, dirs, err)
	}
	if err := writeImage(fd, img); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("write the stage to a memfd: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("seal the stage's memfd: %w", err)
	}
	return fd, nil
}

// executableMemfd makes a memfd; kernels before 6.3 do not know MFD_EXEC and
// make all of them executable.
func executableMemfd() (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("homerun", flags|unix.MFD_EXEC)
	if err == unix.EINVAL {
		return unix.MemfdCreate("homerun", flags)
	}
	return fd, err
}

func writeImage(fd int, img image) error {
	if err := writeAll(fd, img.text, 0); err != nil {
		return err
	}
	return writeAll(fd, img.data, int64(img.dataAt))
}

func writeAll(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, at)
		if err != nil {
			return err
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// unnamedFile writes the image to an unnamed file in the first directory that
// takes it and allows it to be executed.
func unnamedFile(img image, dirs []string, cause error) (int, error) {
	tried := ""
	for _, dir := range dirs {
		fd, err := unnamedIn(dir, img)
		if err == nil {
			return fd, nil
		}
		tried += ", " + dir + " (" + err.Error() + ")"
	}
	why := "no memfd can be made"
	if errors.Is(cause, unix.EACCES) {
		why = "executable memfds are forbidden (vm.memfd_noexec)"
	}
	return -1, fmt.Errorf("%s, and no directory takes an executable file%s: %w", why, tried, cause)
}

var errNoexec = errors.New("mounted noexec")

func unnamedIn(dir string, img image) (int, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return -1, err
	}
	if fs.Flags&unix.ST_NOEXEC != 0 {
		return -1, errNoexec
	}
	// A process that was made meanwhile would have it open for writing until its own execve,
	// and nobody could execute it (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	w, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o500)
	if err != nil {
		return -1, err
	}
	defer unix.Close(w)
	if err := writeImage(w, img); err != nil {
		return -1, err
	}
	return unix.Open(descriptor.Path(w), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}
