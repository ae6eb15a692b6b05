package container

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/host/probe"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Process is config.json's process, for exec to start from.
func (c *Container) Process() (*specs.Process, error) {
	b, err := c.executableBundle()
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
	return accounts{c.readInside}.resolve(text, u)
}

// ResolveUserIn is ResolveUser for a container that is yet to be made in root, a
// directory, and ResolveGroupIn the same for a group alone.
func ResolveUserIn(root, text string, u *specs.User) error {
	a := accountsIn(root)
	if err := a.resolve(text, u); err != nil || strings.Contains(text, ":") {
		return err
	}
	if _, numeric, _ := parseID(text); numeric {
		u.GID = a.groupOf(u.UID)
	}
	return nil
}

// ResolveGroupIn reads a group of a container that is yet to be made: see
// ResolveUserIn.
func ResolveGroupIn(root, text string) (gid uint32, err error) {
	return accountsIn(root).group(text)
}

// accounts are who a container has in its /etc. read reads a file of the container.
type accounts struct {
	read func(file string) ([]byte, error)
}

func accountsIn(root string) accounts {
	return accounts{func(file string) ([]byte, error) { return readBelow(root, file) }}
}

func (a accounts) resolve(text string, u *specs.User) error {
	name, group, hasGroup := strings.Cut(text, ":")
	uid, gid, err := a.user(name)
	if err != nil {
		return err
	}
	if hasGroup {
		if gid, err = a.group(group); err != nil {
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

// groupOf is the group that /etc/passwd has for a number; 0 where it has none.
func (a accounts) groupOf(uid uint32) uint32 {
	text, _ := a.read("etc/passwd")
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(line, ":"); len(f) > 3 && f[2] == strconv.FormatUint(uint64(uid), 10) {
			gid, _, _ := parseID(f[3])
			return gid
		}
	}
	return 0
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
		return 0, true, fmt.Errorf("id %.20q is out of range", s)
	}
	return uint32(n), true, nil
}

func (a accounts) user(name string) (uid, gid uint32, err error) {
	uid, numeric, err := parseID(name)
	if numeric {
		return uid, noID, err
	}
	text, err := a.read("etc/passwd")
	if err == nil {
		uid, gid, err = userIn(text, name)
	} else {
		err = fmt.Errorf("read the container's /etc/passwd: %w", err)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("user %q: %w", name, err)
	}
	return uid, gid, nil
}

func (a accounts) group(name string) (gid uint32, err error) {
	gid, numeric, err := parseID(name)
	if numeric {
		return gid, err
	}
	text, err := a.read("etc/group")
	if err == nil {
		gid, err = groupIn(text, name)
	} else {
		err = fmt.Errorf("read the container's /etc/group: %w", err)
	}
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", name, err)
	}
	return gid, nil
}

// userIn finds a user's ids in a text like passwd(5).
func userIn(text []byte, name string) (uid, gid uint32, err error) {
	line, err := entry(text, name, 7)
	if err != nil {
		return 0, 0, err
	}
	uid, ok1, err1 := parseID(line[2])
	gid, ok2, err2 := parseID(line[3])
	if !ok1 || !ok2 || err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("the container's /etc/passwd gives ids %.20q and %.20q", line[2], line[3])
	}
	return uid, gid, nil
}

// groupIn finds a group's id in a text like group(5).
func groupIn(text []byte, name string) (uint32, error) {
	line, err := entry(text, name, 4)
	if err != nil {
		return 0, err
	}
	gid, ok, err := parseID(line[2])
	if !ok || err != nil {
		return 0, fmt.Errorf("the container's /etc/group gives the id %.20q", line[2])
	}
	return gid, nil
}

var errUnknownName = errors.New("no such entry in the container's /etc")

// entry finds a line by its first field, and cuts it into its fields.
func entry(text []byte, name string, fields int) ([]string, error) {
	if name == "" || strings.ContainsAny(name, ":\n") {
		return nil, errUnknownName
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if parts := strings.SplitN(line, ":", fields+1); len(parts) >= fields && parts[0] == name {
			return parts, nil
		}
	}
	return nil, errUnknownName
}

// maxFile bounds what is read of a file in the container.
const maxFile = 1 << 20

// readInside reads a regular file below the container's root, as
// probe.ReadInRoot does.
func (c *Container) readInside(file string) ([]byte, error) {
	return readBelow("/proc/"+strconv.Itoa(c.State.Pid)+"/root", file)
}

func readBelow(dir, file string) ([]byte, error) {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	return probe.ReadInRoot(root, file, maxFile)
}

// home is the home directory of a user in the container's /etc/passwd, or "".
// As for a shell that was given an empty HOME, what cannot be told is no error.
func (c *Container) home(uid uint32) string {
	text, err := c.readInside("etc/passwd")
	if err != nil {
		return ""
	}
	return probe.HomeOf(text, uid)
}
