package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/homerun-oci/homerun/rootfs"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// The directory of --overlay=DIR keeps the changes of one root. The kernel says nothing
// when the upper directories of two overlays lie in each other, and then what either
// shows is not defined (Documentation/filesystems/overlayfs.rst, "Sharing and copying
// layers"). So one that lies in another's is refused, whether that is in use or not: the
// lock, which is the directory's own, does not show it, and the changes would be among
// those of another root.

// makeChanges makes the directory for changes, if it is one that can be had.
func makeChanges(dir string) error {
	if store := storeAround(existing(dir)); store != "" {
		return fmt.Errorf("it lies in %s, which has the changes of another --overlay: want a directory outside of that", store)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unwrapPath(err)
	}
	return onlyMine(dir)
}

// existing is a path without symbolic links, as far as it is there.
func existing(dir string) string {
	for rest := ""; ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil || dir == filepath.Dir(dir) {
			return filepath.Join(real, rest)
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// storeAround is a directory above this one that has changes of an overlay, this being a
// part of them; "" if there is none.
func storeAround(dir string) string {
	for above := filepath.Dir(dir); dir != above; dir, above = above, filepath.Dir(above) {
		if rootfs.InStore(filepath.Base(dir)) && hasChanges(above) {
			return above
		}
	}
	return ""
}

// hasChanges reports whether a directory has an overlay's layers.
func hasChanges(dir string) bool {
	whole := filepath.Dir(rootfs.UpperPath(""))
	if isLayer(filepath.Join(dir, whole)) {
		return true
	}
	var st unix.Stat_t
	if unix.Lstat(filepath.Join(dir, rootfs.PlainRoot), &st) != nil {
		return false // of no root that was taken apart; the directory may be a large one
	}
	names, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(names, func(n os.DirEntry) bool {
		return rootfs.InStore(n.Name()) && isLayer(filepath.Join(dir, n.Name()))
	})
}

// isLayer reports whether a directory has what a layer's has.
func isLayer(dir string) bool {
	var st unix.Stat_t
	return unix.Lstat(filepath.Join(dir, "upper"), &st) == nil && unix.Lstat(filepath.Join(dir, "work"), &st) == nil
}

// onlyMine refuses a directory for changes in which others could put links: the kernel
// finds the upper and the work directory by name, and empties the latter. The group that
// is the caller's own may write: with the umask 002 it is one of nobody else.
func onlyMine(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	switch {
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to user %d, who could have the changes written elsewhere; want a directory of your own", st.Uid)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR && (st.Mode&0o002 != 0 || st.Mode&0o020 != 0 && int(st.Gid) != os.Getegid()):
		return errors.New("others may write in it, and could have the changes written elsewhere: chmod go-w")
	}
	return onlyChanges(dir)
}

// onlyChanges refuses a directory with files that no overlay has put there: $HOME, say,
// which would have the changes of a whole root among them.
func onlyChanges(dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return unwrapPath(err)
	}
	for _, n := range names {
		if !rootfs.InStore(n.Name()) {
			return fmt.Errorf("it has %q, which is no change that was kept: want an empty directory, or one that an --overlay had before", n.Name())
		}
		if inner := filepath.Join(dir, n.Name()); hasChanges(inner) {
			return fmt.Errorf("%s in it has the changes of another --overlay: want a directory outside of that, or that one", inner)
		}
	}
	return nil
}
