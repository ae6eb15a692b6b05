package bundle

import (
	"errors"
	"path/filepath"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

const (
	configName = "config.json"
	// maxSize is a thousand times any real config.
	maxSize = 64 << 20
)

// Load reads and decodes a bundle's config. dir may be relative to the current
// directory; name is a path relative to dir, or absolute, or "" for
// config.json. Load does not call Check. Any error is a *fault.Error; for a file
// that cannot be read it wraps the errno.
func Load(dir, name string) (*Bundle, error) {
	if name == "" {
		name = configName
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		reason := "the current directory, from which the bundle's path counts, cannot be found: " + err.Error()
		return nil, &fault.Error{File: name, Why: reason, Cause: err}
	}
	path, label := name, name
	if !filepath.IsAbs(name) {
		path, label = filepath.Join(dir, name), name+" of bundle "+dir
	}
	raw, err := ReadRegular(path)
	if err != nil {
		return nil, &fault.Error{File: label, Why: err.Error(), Cause: err}
	}
	return load(raw, dir, name)
}

// LoadAt is Load for name in the directory that the descriptor at has open. dir
// is the bundle's, for the paths in the config.
func LoadAt(at int, name, dir string) (*Bundle, error) {
	raw, err := ReadRegularAt(at, name)
	if err != nil {
		return nil, &fault.Error{File: name, Why: err.Error(), Cause: err}
	}
	return load(raw, dir, name)
}

func load(raw []byte, dir, name string) (*Bundle, error) {
	b, err := Decode(raw)
	if err != nil {
		err.(*fault.Error).File = name
		return nil, err
	}
	b.Dir, b.file = dir, name
	return b, nil
}

// ReadRegular reads a regular file of at most 64 MiB, which files of procfs are
// too. An error is an errno, or says that the file is none of these. It calls
// the kernel itself because an os.File would set up the network poller. A FIFO
// would block the open without O_NONBLOCK.
func ReadRegular(path string) ([]byte, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	})
	if err != nil {
		return nil, err
	}
	return readRegular(fd)
}

// ReadRegularAt is ReadRegular for a file of the directory that the descriptor
// at has open. A symbolic link is an error (ELOOP).
func ReadRegularAt(at int, name string) ([]byte, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	})
	if err != nil {
		return nil, err
	}
	return readRegular(fd)
}

// readRegular reads and closes fd.
func readRegular(fd int) ([]byte, error) {
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, err
	}
	switch {
	case stat.Mode&unix.S_IFMT == unix.S_IFDIR:
		return nil, unix.EISDIR
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, errNotRegular
	case stat.Size > maxSize:
		return nil, errTooLarge
	}
	return readAll(fd, int(stat.Size))
}

// readAll reads fd, whose size is a hint: files of procfs have none.
func readAll(fd, size int) ([]byte, error) {
	// One byte more lets the read at the end find room.
	raw := make([]byte, 0, size+1)
	for {
		n, err := retry(func() (int, error) { return unix.Read(fd, raw[len(raw):cap(raw)]) })
		if err != nil || n == 0 {
			return raw, err
		}
		if raw = raw[:len(raw)+n]; len(raw) > maxSize {
			return nil, errTooLarge
		}
		if len(raw) == size {
			return raw, nil // there was room for more
		}
		if len(raw) == cap(raw) {
			raw = append(raw, make([]byte, 512+len(raw))...)[:len(raw)]
		}
	}
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("larger than 64 MiB")
)
