package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"

	"github.com/homerun-oci/homerun/bundle"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A container is a directory of its id in the state root. Its lock is a
// flock(2) on the directory itself, so that nothing is left behind when it is
// removed; whoever gets the lock of a directory that was removed meanwhile
// finds it without links. A container exists from the moment its directory
// does: what state.json does not tell yet is "creating", and can be deleted.

// Runtime is where containers are kept. The zero value is not usable; see New.
type Runtime struct {
	// Root is the state root, absolute.
	Root string
	// Manager says who makes cgroups; see ParseManager.
	Manager Manager
	// NotifySocket is where the service manager hears that a service is ready
	// ($NOTIFY_SOCKET); empty without one.
	NotifySocket string
	// Warn receives what is ignored or worked around, one line each; nil drops
	// it.
	Warn func(string)
	// Debug receives what was decided, one line each; nil drops it.
	Debug func(string)
	// Cache is a directory for compiled seccomp profiles, absolute; see
	// DefaultCache. Empty: they are compiled each time.
	Cache string
}

// ErrNotExist is for an id that no container has. Callers match its words.
var ErrNotExist = errors.New("does not exist")

// ErrExists is for an id that is taken.
var ErrExists = errors.New("already exists")

// DefaultRoot finds the state root: /run/homerun for root; else the user's
// runtime directory, only if it exists and belongs to the user, since after su
// it may be somebody else's; else a directory below /tmp that is checked when
// it is used. environment is os.Getenv.
func DefaultRoot(environment func(string) string) string {
	uid := outerUID(environment)
	if uid == 0 {
		return "/run/homerun"
	}
	for _, dir := range []string{environment("XDG_RUNTIME_DIR"), "/run/user/" + strconv.Itoa(uid)} {
		if filepath.IsAbs(dir) && ownedBySelf(dir) {
			return filepath.Join(dir, "homerun")
		}
	}
	return "/tmp/homerun-" + strconv.Itoa(uid)
}

// DefaultCache finds the directory for compiled seccomp profiles: beside the
// state root of DefaultRoot, so that those who list a state root, this runtime
// or another, find containers only.
func DefaultCache(environment func(string) string) string { return DefaultRoot(environment) + "-seccomp" }

// outerUID is the user's id outside a user namespace in which podman, or
// another manager, made us root.
func outerUID(environment func(string) string) int {
	uid := os.Geteuid()
	if outer, err := strconv.Atoi(environment("_CONTAINERS_ROOTLESS_UID")); err == nil && uid == 0 && !inInitialUserNamespace() {
		return outer
	}
	if uid == 0 && !inInitialUserNamespace() && ownedBySelf(environment("XDG_RUNTIME_DIR")) {
		return -1 // root of a nested namespace with a runtime directory of its own
	}
	return uid
}

// inInitialUserNamespace compares with PROC_USER_INIT_INO.
func inInitialUserNamespace() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/user", &st) == nil && st.Ino == 0xEFFFFFFD
}

func ownedBySelf(dir string) bool {
	var st unix.Stat_t
	return dir != "" && unix.Lstat(dir, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == os.Geteuid()
}

// makeRoot makes the state root, and refuses one that others can write.
func (r *Runtime) makeRoot() error {
	if err := unix.Mkdir(r.Root, 0o700); err == unix.ENOENT {
		if err := os.MkdirAll(r.Root, 0o700); err != nil {
			return fmt.Errorf("make the state root: %w", err)
		}
	} else if err != nil && err != unix.EEXIST {
		return fmt.Errorf("make the state root %s: %w", r.Root, err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(r.Root, &st); err != nil {
		return fmt.Errorf("look at the state root %s: %w", r.Root, err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("the state root %s must be a directory that only user %d can write", r.Root, os.Geteuid())
	}
	return nil
}

// Container is a container in a state root. It is a value of one caller: not
// safe for concurrent use.
type Container struct {
	ID      string
	runtime *Runtime
	dir     string
	// lock is the directory's descriptor, locked.
	lock  int
	State State
	// config is the bundle, once it was read.
	config *bundle.Bundle
	// hooked is set once this process has come to the container's hooks: the last
	// ones run when it fails.
	hooked *bundle.Bundle
}

// file is the path of a file of the container's.
func (c *Container) file(name string) string { return c.dir + "/" + name }

// Directory is where the container's state is kept.
func (c *Container) Directory() string { return c.dir }

// WillUndo records something for delete to undo. It comes before the thing is
// done.
func (c *Container) WillUndo(u Undo) error {
	c.State.Undo = append(c.State.Undo, u)
	return c.write()
}

// make makes the container's directory and locks it.
func (r *Runtime) make(id string) (*Container, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	if err := r.makeRoot(); err != nil {
		return nil, err
	}
	dir := filepath.Join(r.Root, id)
	if err := unix.Mkdir(dir, 0o700); err == unix.EEXIST {
		return nil, fmt.Errorf("container %q %w", id, ErrExists)
	} else if err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	c, err := r.open(id)
	if err != nil {
		_ = unix.Rmdir(dir)
	}
	return c, err
}

// open locks an existing container's directory. It waits for whoever has the
// lock.
func (r *Runtime) open(id string) (*Container, error) {
	if err := CheckID(id); err != nil {
		return nil, fmt.Errorf("container %q %w", id, ErrNotExist)
	}
	c := &Container{ID: id, runtime: r, dir: filepath.Join(r.Root, id)}
	fd, err := unix.Open(c.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil, fmt.Errorf("container %q %w", id, ErrNotExist)
	} else if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.dir, err)
	}
	if err := flock(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("lock %s: %w", c.dir, err)
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Nlink == 0 {
		unix.Close(fd)
		return nil, fmt.Errorf("container %q %w", id, ErrNotExist)
	}
	c.lock = fd
	return c, nil
}

func flock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

// Open locks a container and reads its state. Close it.
func (r *Runtime) Open(id string) (*Container, error) {
	c, err := r.open(id)
	if err != nil {
		return nil, err
	}
	if err := c.read(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close gives the lock back.
func (c *Container) Close() {
	if c.lock >= 0 {
		unix.Close(c.lock)
		c.lock = -1
	}
}

// List reads the states of all containers, by id, without locking them. A
// container that vanishes meanwhile is left out.
func (r *Runtime) List() ([]*Container, error) {
	entries, err := os.ReadDir(r.Root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state root: %w", err)
	}
	var list []*Container
	for _, e := range entries {
		if e.IsDir() && CheckID(e.Name()) == nil && e.Name()[0] != '.' {
			if c, err := r.Peek(e.Name()); err == nil {
				list = append(list, c)
			}
		}
	}
	sort.Slice(list, func(i, k int) bool { return list[i].ID < list[k].ID })
	return list, nil
}

// Peek reads a container's state without the lock: what is written is written
// as a whole.
func (r *Runtime) Peek(id string) (*Container, error) {
	if CheckID(id) != nil {
		return nil, fmt.Errorf("container %q %w", id, ErrNotExist)
	}
	c := &Container{ID: id, runtime: r, dir: filepath.Join(r.Root, id), lock: -1}
	if !isDirectory(c.dir) {
		return nil, fmt.Errorf("container %q %w", id, ErrNotExist)
	}
	return c, c.read()
}

func isDirectory(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// CheckID wants an id that is one name of a directory, of runc's characters.
func CheckID(id string) error {
	if id == "" || id == "." || id == ".." || len(id) > 1024 {
		return fmt.Errorf("invalid container id %q", id)
	}
	for _, c := range []byte(id) {
		ok := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '+' || c == '-' || c == '.'
		if !ok {
			return fmt.Errorf("invalid container id %q: want letters, digits and any of + - . _ only", id)
		}
	}
	return nil
}

func (r *Runtime) warn(format string, args ...any) {
	if r.Warn != nil {
		r.Warn(fmt.Sprintf(format, args...))
	}
}
