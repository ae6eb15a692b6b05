package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A container is a directory of its id in the state root (see directory.go). Its
// lock is a flock(2) on the directory itself, so that nothing is left when it is
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
	// Program is homerun's own program, which copies what a tmpfs with tmpcopyup
	// covers in a container with a user namespace of its own; empty for the
	// homerun beside this program or in its libexec directory.
	Program string
	// Warn receives what is ignored or worked around, one line each; nil drops
	// it.
	Warn func(string)
	// Note receives what was decided without being asked, one line each; nil drops
	// it.
	Note func(string)
	// Debug receives what was decided, and each step of a plan as it begins, one
	// line each; nil drops it.
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
func DefaultCache(environment func(string) string) string {
	return DefaultRoot(environment) + "-seccomp"
}

// outerUID is the user's id outside a user namespace in which podman, or
// another manager, made us root.
func outerUID(environment func(string) string) int {
	uid := os.Geteuid()
	if outer, err := strconv.Atoi(environment("_CONTAINERS_ROOTLESS_UID")); err == nil && uid == 0 && !proc.InInitialUserNamespace() {
		return outer
	}
	if uid == 0 && !proc.InInitialUserNamespace() && ownedBySelf(environment("XDG_RUNTIME_DIR")) {
		return -1 // root of a nested namespace with a runtime directory of its own
	}
	return uid
}

func ownedBySelf(dir string) bool {
	var st unix.Stat_t
	return dir != "" && unix.Lstat(dir, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == os.Geteuid()
}

// Container is a container in a state root. It is a value of one caller: not
// safe for concurrent use.
type Container struct {
	ID      string
	runtime *Runtime
	// dir is the directory's path, for messages and for other programs.
	dir string
	// fd is its descriptor, which is what is locked, and root that of the state
	// root; -1 when closed.
	fd, root int
	// made is the mark of the directory, as it was when it was looked at.
	made  bool
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

// unmade is a container whose directory is not there yet.
func (r *Runtime) unmade(id string) *Container {
	return &Container{ID: id, runtime: r, dir: filepath.Join(r.Root, id), fd: -1, root: -1}
}

// make makes the container's directory and locks it.
func (c *Container) make() error {
	root, err := c.runtime.makeRoot()
	if err != nil {
		return err
	}
	if err := unix.Mkdirat(root, c.ID, directoryMode); err != nil {
		defer unix.Close(root)
		return c.runtime.cannotMake(root, c.ID, err)
	}
	made, err := c.runtime.lockIn(root, c.ID)
	if err != nil {
		_ = unix.Unlinkat(root, c.ID, unix.AT_REMOVEDIR)
		unix.Close(root)
		return err
	}
	c.fd, c.root = made.fd, made.root
	return nil
}

// cannotMake says why a container's directory cannot be made.
func (r *Runtime) cannotMake(root int, id string, err error) error {
	var st unix.Stat_t
	if err == unix.EEXIST && unix.Fstatat(root, id, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("%s/%s already exists, and is not a container of homerun's", r.Root, id)
	}
	if err == unix.EEXIST {
		return fmt.Errorf("container %q %w", id, ErrExists)
	}
	return fmt.Errorf("make %s/%s: %w", r.Root, id, notWritable(err))
}

// open locks an existing container's directory. It waits for whoever has the
// lock.
func (r *Runtime) open(id string) (*Container, error) {
	root, err := r.rootOf(id)
	if err != nil {
		return nil, err
	}
	c, err := r.lockIn(root, id)
	if err != nil {
		unix.Close(root)
	}
	return c, err
}

// rootOf opens the state root for a container that should exist.
func (r *Runtime) rootOf(id string) (int, error) {
	if CheckID(id) != nil {
		return -1, fmt.Errorf("container %q %w", id, ErrNotExist)
	}
	root, err := r.openRoot()
	if errors.Is(err, unix.ENOENT) {
		return -1, fmt.Errorf("container %q %w", id, ErrNotExist)
	}
	return root, err
}

// lockIn opens and locks a container's directory. The container has root then.
func (r *Runtime) lockIn(root int, id string) (*Container, error) {
	c, err := r.openIn(root, id)
	if err != nil {
		return nil, err
	}
	if err := c.lock(); err != nil {
		unix.Close(c.fd)
		return nil, err
	}
	c.root = root
	return c, nil
}

// openIn opens a container's directory.
func (r *Runtime) openIn(root int, id string) (*Container, error) {
	c := &Container{ID: id, runtime: r, dir: filepath.Join(r.Root, id), root: -1}
	var err error
	c.fd, err = openDirectory(root, id)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
		return nil, c.missing()
	} else if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.dir, err)
	}
	return c, nil
}

// lock locks the directory and checks what it is.
func (c *Container) lock() error {
	for {
		err := unix.Flock(c.fd, unix.LOCK_EX)
		if err == nil {
			return c.checked()
		}
		if err != unix.EINTR {
			return fmt.Errorf("lock %s: %w", c.dir, err)
		}
	}
}

// unlock gives the lock back. The container can still be used, and be locked
// again, until it is closed.
func (c *Container) unlock() { _ = unix.Flock(c.fd, unix.LOCK_UN) }

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

// Close gives the lock back, and the descriptors.
func (c *Container) Close() {
	closeOnce(&c.fd)
	closeOnce(&c.root)
}

// List calls each with all containers, by id, without locking them. They are
// closed when it returns. One that vanishes meanwhile is left out; of one whose
// state cannot be read, or of which each has an error, Warn hears.
func (r *Runtime) List(each func(*Container) error) error {
	return r.forAll(func(c *Container) error {
		err := c.read()
		if err == nil {
			err = each(c)
		}
		return err
	})
}

// IDs lists the ids of all containers, in order, also of those whose state cannot
// be read.
func (r *Runtime) IDs() (ids []string, err error) {
	err = r.forAll(func(c *Container) error {
		ids = append(ids, c.ID)
		return nil
	})
	return ids, err
}

// forAll calls do with all containers, before their states are read. Errors of
// single ones are warnings.
func (r *Runtime) forAll(do func(*Container) error) error {
	root, err := r.openRoot()
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(root)
	names, err := namesIn(root)
	if err != nil {
		return fmt.Errorf("read the state root %s: %w", r.Root, err)
	}
	sort.Strings(names)
	for _, name := range names {
		if CheckID(name) != nil {
			continue
		}
		c, err := r.openIn(root, name)
		if err == nil {
			if err = c.checked(); err == nil {
				err = do(c)
			}
			c.Close()
		}
		if err != nil && !errors.Is(err, ErrNotExist) {
			r.warn("%v", err)
		}
	}
	return nil
}

// Peek reads a container's state without the lock: what is written is written
// as a whole. Close it.
func (r *Runtime) Peek(id string) (*Container, error) {
	root, err := r.rootOf(id)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	c, err := r.openIn(root, id)
	if err != nil {
		return nil, err
	}
	if err = c.checked(); err == nil {
		err = c.read()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
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

func (r *Runtime) note(format string, args ...any) {
	if r.Note != nil {
		r.Note(fmt.Sprintf(format, args...))
	}
}
