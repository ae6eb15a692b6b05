// Package store keeps containers on disk: the state root, each container's
// directory in it with its lock and its files, and what is recorded there of a
// container for those who come later.
//
// A [Root] finds and makes directories; a [Dir] is one that is open. In it are
// state.json ([State]), which other programs may read (docs/state.schema.json), a
// second record of init for when that is damaged, how init ended ([Exit]), and
// the container's config.json. What delete undoes is part of the state ([Undo]).
//
// Nothing here knows how containers are made or end. Several processes, and
// goroutines, may use one state root at once; a Dir is for one goroutine.
package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A container is a directory of its id in the state root. Its lock is a flock(2)
// on the directory itself, so that nothing is left when it is removed; whoever
// gets the lock of a directory that was removed meanwhile finds it without links.
// A container exists from the moment its directory does: what state.json does not
// tell yet is still being made, and can be deleted.

// ErrNotExist is for an id that no container has. Callers match its words.
var ErrNotExist = errors.New("does not exist")

// ErrExists is for an id that is taken.
var ErrExists = errors.New("already exists")

// Root is the absolute path of a state root. One that is missing is an empty
// one; [Root.Make] makes it.
type Root string

// Unmade is the directory of a container that is to be made: only its ID and its
// paths are known. It is an error if the id is none.
func (r Root) Unmade(id string) (*Dir, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	return r.dir(id), nil
}

func (r Root) dir(id string) *Dir {
	return &Dir{ID: id, parent: r, path: filepath.Join(string(r), id), fd: -1, root: -1, among: -1}
}

// Make makes an unmade directory, and the state root if that is missing, and locks
// it. An id that is taken is ErrExists; a directory that is no container's is an
// error, too. Close it.
func (d *Dir) Make(ctx context.Context) error {
	root, err := d.parent.make()
	if err != nil {
		return err
	}
	if err := unix.Mkdirat(root, d.ID, directoryMode); err != nil {
		defer unix.Close(root)
		return d.parent.cannotMake(root, d.ID, err)
	}
	if err := d.lockIn(ctx, root); err != nil {
		_ = unix.Unlinkat(root, d.ID, unix.AT_REMOVEDIR)
		unix.Close(root)
		return err
	}
	return nil
}

// cannotMake says why a container's directory cannot be made.
func (r Root) cannotMake(root int, id string, err error) error {
	var st unix.Stat_t
	if err == unix.EEXIST && unix.Fstatat(root, id, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("%s/%s already exists, and is not a container of homerun's", r, id)
	}
	if err == unix.EEXIST {
		return fmt.Errorf("container %q %w", id, ErrExists)
	}
	return fmt.Errorf("make %s/%s: %w", r, id, notWritable(err, string(r)))
}

// Open opens and locks an existing container's directory, and waits for whoever
// has the lock, or until ctx ends. One that does not exist, or not any more, is
// ErrNotExist. Close it.
func (r Root) Open(ctx context.Context, id string) (*Dir, error) {
	root, err := r.openFor(id)
	if err != nil {
		return nil, err
	}
	d := r.dir(id)
	if err := d.lockIn(ctx, root); err != nil {
		unix.Close(root)
		return nil, err
	}
	return d, nil
}

// Peek is Open without the lock: what is recorded is written as a whole. A Dir
// that was never locked cannot be removed. Close it.
func (r Root) Peek(id string) (*Dir, error) {
	root, err := r.openFor(id)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	return r.lookIn(root, id)
}

// List calls each with all containers, in the order of their ids, without locking
// them; they can only be read, and until it returns. One that vanishes meanwhile is left out.
// Of what is wrong with single ones, and of each's errors, warn hears; the error
// is about the root.
func (r Root) List(each func(*Dir) error, warn func(error)) error {
	root, err := r.open()
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(root)
	names, err := namesIn(root)
	if err != nil {
		return fmt.Errorf("read the state root %s: %w", r, err)
	}
	sort.Strings(names)
	for _, name := range names {
		if checkID(name) != nil {
			continue
		}
		d := r.dir(name)
		d.among = root
		err := d.Check()
		if err == nil {
			err = each(d)
		}
		d.Close()
		if err != nil && !errors.Is(err, ErrNotExist) {
			warn(err)
		}
	}
	return nil
}

// openFor opens the state root for a container that should exist.
func (r Root) openFor(id string) (int, error) {
	if checkID(id) != nil {
		return -1, missing(id)
	}
	root, err := r.open()
	if errors.Is(err, unix.ENOENT) {
		return -1, missing(id)
	}
	return root, err
}

// lookIn opens a container's directory and checks what it is.
func (r Root) lookIn(root int, id string) (*Dir, error) {
	d := r.dir(id)
	if err := d.openIn(root); err != nil {
		return nil, err
	}
	if err := d.Check(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// openIn opens the directory.
func (d *Dir) openIn(root int) (err error) {
	d.fd, err = openDirectory(root, d.ID)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
		return missing(d.ID)
	} else if err != nil {
		return fmt.Errorf("open %s: %w", d.path, err)
	}
	return nil
}

// lockIn opens and locks the directory, which has root then.
func (d *Dir) lockIn(ctx context.Context, root int) error {
	if err := d.openIn(root); err != nil {
		return err
	}
	if err := d.Lock(ctx); err != nil {
		d.Close()
		return err
	}
	d.root = root
	return nil
}

// missing says that there is no such container.
func missing(id string) error { return fmt.Errorf("container %q %w", id, ErrNotExist) }

// checkID wants an id that is one name of a directory, of runc's characters.
func checkID(id string) error {
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
