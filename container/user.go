package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/host/probe"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Process is config.json's process, for exec to start from.
func (c *Container) Process() (*specs.Process, error) {
	b, err := c.bundle()
	if err != nil {
		return nil, err
	}
	if b.Config.Process == nil {
		return nil, errors.New("config.json has no process")
	}
	process := *b.Config.Process
	return &process, nil
}

// ResolveUser reads USER[:GROUP]. Digits are ids and nothing else; names are
// looked up in the container's own files. What is neither is an error, never
// user 0 (CVE-2026-30892, CVE-2024-40635).
func (c *Container) ResolveUser(text string, u *specs.User) error {
	name, group, hasGroup := strings.Cut(text, ":")
	uid, gid, err := c.lookupUser(name)
	if err != nil {
		return err
	}
	if hasGroup {
		if gid, err = c.lookupGroup(group); err != nil {
			return err
		}
	}
	u.UID = uid
	if hasGroup || gid != noID {
		u.GID = gid
	}
	u.AdditionalGids = nil
	return nil
}

// noID is (uid_t)-1, which is nobody's.
const noID = ^uint32(0)

// parseID reads a numeric id: digits only, at most 2^31-1.
func parseID(s string) (id uint32, numeric bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, true, fmt.Errorf("id %q is out of range", s)
	}
	return uint32(n), true, nil
}

func (c *Container) lookupUser(name string) (uid, gid uint32, err error) {
	uid, numeric, err := parseID(name)
	if numeric {
		return uid, noID, err
	}
	line, err := c.lookup("etc/passwd", name, 7)
	if err != nil {
		return 0, 0, fmt.Errorf("user %q: %w", name, err)
	}
	uid, ok1, err1 := parseID(line[2])
	gid, ok2, err2 := parseID(line[3])
	if !ok1 || !ok2 || err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("user %q: the container's /etc/passwd gives ids %q and %q", name, line[2], line[3])
	}
	return uid, gid, nil
}

func (c *Container) lookupGroup(name string) (uint32, error) {
	gid, numeric, err := parseID(name)
	if numeric {
		return gid, err
	}
	line, err := c.lookup("etc/group", name, 4)
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", name, err)
	}
	gid, ok, err := parseID(line[2])
	if !ok || err != nil {
		return 0, fmt.Errorf("group %q: the container's /etc/group gives the id %q", name, line[2])
	}
	return gid, nil
}

var errUnknownName = errors.New("no such entry in the container's /etc")

// lookup finds a line of a file in the container by its first field.
func (c *Container) lookup(file, name string, fields int) ([]string, error) {
	if name == "" || strings.ContainsAny(name, ":\n") {
		return nil, errUnknownName
	}
	text, err := c.readInside(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if parts := strings.Split(line, ":"); len(parts) >= fields && parts[0] == name {
			return parts, nil
		}
	}
	return nil, errUnknownName
}

// maxFile bounds what is read of a file in the container.
const maxFile = 1 << 20

// readInside reads a regular file below the container's root, whatever it and
// the way to it are: it follows no link out and refuses more than 1 MiB
// (CVE-2026-47262), of which a part could be an entry nobody wrote. The file is
// opened as O_PATH first: opening a FIFO wakes its writer, and opening a device
// may do anything.
func (c *Container) readInside(file string) ([]byte, error) {
	root, err := unix.Open("/proc/"+strconv.Itoa(c.State.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	pinned, err := unix.Openat2(root, file, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, err
	}
	defer unix.Close(pinned)
	var st unix.Stat_t
	if err := unix.Fstat(pinned, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errNotRegular
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(pinned), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if len(text) > maxFile {
		return nil, errTooLarge
	}
	return text, err
}

var (
	errNotRegular = errors.New("it is not a regular file")
	errTooLarge   = errors.New("it is larger than 1 MiB")
)

// home is the home directory of a user in the container's /etc/passwd, or "".
// As for a shell that was given an empty HOME, what cannot be told is no error.
func (c *Container) home(uid uint32) string {
	text, err := c.readInside("etc/passwd")
	if err != nil {
		return ""
	}
	return probe.HomeOf(text, uid)
}
