package probe

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// Theory of operation: destinations in a hostile tree.
//
// The rootfs may be anything: a link to /, links in a circle, a FIFO where a
// directory should be. A single name is looked at with fstatat(2), which does
// not follow it; every other look is one openat2(2) from the rootfs's own
// descriptor with RESOLVE_IN_ROOT and RESOLVE_NO_SYMLINKS, so the kernel keeps
// it inside, and O_PATH, so nothing blocks, no device notices and no magic
// link of a /proc in there is followed. Most trees have no links on the way:
// then one look says all. A missing path says all too: up to what is missing
// there was no link, and what is missing has none. Only ELOOP means that a
// link is on the way, and then follow() reads links as text, one component at
// a time, and starts over from the root for each. If somebody changes the tree
// meanwhile, the answer is wrong but was still never outside.

// maxLinks is how many symbolic links the kernel follows (path_resolution(7)).
const maxLinks = 40

// maxSteps bounds the components that links may unfold to.
const maxSteps = 4096

// inRoot are the rules of every look; a link at the very end is looked at
// itself when O_NOFOLLOW is set.
const inRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS

// rootfs looks at the root directory and at what is needed of what is in it.
func (p *Prober) rootfs(n *host.Needs) {
	fd, err := openat(unix.AT_FDCWD, n.Rootfs, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		p.Facts.Rootfs = host.Source{Path: n.Rootfs, Error: errnoName(err)}
		return
	}
	defer unix.Close(fd)
	p.Facts.Rootfs = rootSource(fd, n.Rootfs)
	if p.Facts.Rootfs.Kind != host.Directory {
		return
	}
	p.targets(fd, n.Targets)
	if n.Layers != "" {
		p.layers(fd, n)
	}
	if n.Home != "" {
		p.home(fd, n.HomeUID)
	}
}

func rootSource(fd int, path string) host.Source {
	var st unix.Stat_t
	var fs unix.Statfs_t
	if err := unix.Fstat(fd, &st); err != nil {
		return host.Source{Path: path, Error: errnoName(err)}
	}
	s := host.Source{Path: path, Kind: kindOf(st.Mode)}
	if unix.Fstatfs(fd, &fs) == nil {
		s.Flags = flagNames(int64(fs.Flags))
	}
	return s
}

// targets looks at each destination. One below an earlier mount is covered by it, so
// the root says nothing about it: it is not looked at, and what turns out to be
// covered only after links were followed is not told either.
func (p *Prober) targets(root int, list []host.Destination) {
	if len(list) == 0 {
		return
	}
	p.Facts.Targets = make(map[string]host.Target, len(list))
	covered := make(places, 2*len(list))
	for i := range list {
		d := &list[i]
		name := clean(d.Path)
		t := host.Target{Unknown: host.Covered}
		if !covered.hold(name) || hasDotDot(d.Path) {
			var err error
			t, err = destination(root, d)
			switch {
			case err != nil:
				t = host.Target{Unknown: errnoName(err)}
			case covered.hold(t.Resolved):
				t = host.Target{Unknown: host.Covered}
			default:
				covered[t.Resolved] = covered[t.Resolved] || d.Mount
			}
			covered[name] = covered[name] || d.Mount
		}
		if _, earlier := p.Facts.Targets[d.Path]; !earlier || t.Unknown == "" {
			p.Facts.Targets[d.Path] = t
		}
	}
}

// destination looks at a destination and what is wanted of it.
func destination(root int, d *host.Destination) (host.Target, error) {
	if d.Link {
		if t, ok := linkAt(root, d.Path); ok {
			return t, nil
		}
	}
	t, err := resolve(root, d.Path)
	if err == nil && t.Kind == host.Directory && d.Tree {
		t.Tree = Tree(root, t.Resolved)
	}
	return t, err
}

// linkAt describes a destination that is itself a symbolic link, with none on
// the way to it.
func linkAt(root int, destination string) (host.Target, bool) {
	path := clean(destination)
	fd, err := open2(root, path)
	if err != nil {
		return host.Target{}, false
	}
	defer unix.Close(fd)
	text := readlink(fd, "")
	return host.Target{Resolved: path, Kind: host.Symlink, Link: text}, text != ""
}

// resolve looks at a destination in the directory that root is open on (O_PATH
// will do). The error is an errno: ELOOP for links in a circle, EACCES for a
// directory that only ids of the container can search.
func resolve(root int, destination string) (host.Target, error) {
	path := clean(destination)
	if !hasDotDot(destination) {
		st, err := look(root, path)
		switch err {
		case nil:
			if kindOf(st.Mode) != host.Symlink {
				return target(path, &st), nil
			}
		case unix.ENOENT, unix.ENOTDIR:
			return host.Target{Resolved: path}, nil
		case unix.ELOOP:
		default:
			return host.Target{}, err
		}
	}
	return follow(root, destination)
}

func target(path string, st *unix.Stat_t) host.Target {
	return host.Target{Resolved: path, Kind: kindOf(st.Mode), Mode: permissions(st.Mode)}
}

// look describes one path that has no links but maybe at its end. A single
// name needs no openat2: nothing is resolved, so nothing can lead away.
func look(root int, path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	if strings.IndexByte(path, '/') < 0 {
		err := unix.Fstatat(root, path, &st, unix.AT_SYMLINK_NOFOLLOW)
		return st, err
	}
	fd, err := open2(root, path)
	if err != nil {
		return st, err
	}
	err = unix.Fstat(fd, &st)
	unix.Close(fd)
	return st, err
}

// open2 retries EAGAIN, which RESOLVE_IN_ROOT gives when a rename anywhere on
// the host comes between.
func open2(root int, path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: inRoot}
	for tries := 0; ; tries++ {
		fd, err := unix.Openat2(root, path, &how)
		if (err != unix.EAGAIN && err != unix.EINTR) || tries == 64 {
			return fd, err
		}
	}
}

// walk is the state of following links.
type walk struct {
	root int
	// done is the way so far: no links, no dots.
	done []string
	// todo is what is left, the next component last.
	todo []string
	// missing is the length of done up to which all exists; -1 if all does.
	missing int
	links   int
}

// follow resolves a destination that has links or "..".
func follow(root int, destination string) (host.Target, error) {
	w := walk{root: root, missing: -1}
	w.push(destination)
	for steps := 0; len(w.todo) > 0; steps++ {
		if steps == maxSteps {
			return host.Target{}, unix.ELOOP
		}
		if err := w.step(); err != nil {
			return host.Target{}, err
		}
	}
	return w.result()
}

// result describes where the way ended, which is not always where the last
// look was: it may have ended with "..", or at the root.
func (w *walk) result() (host.Target, error) {
	path := w.path()
	if w.missing >= 0 {
		return host.Target{Resolved: path}, nil
	}
	st, err := look(w.root, path)
	if err != nil {
		return host.Target{}, err
	}
	return target(path, &st), nil
}

// push puts a path's components before what is left.
func (w *walk) push(path string) {
	parts := strings.Split(path, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		w.todo = append(w.todo, parts[i])
	}
}

// step takes one component.
func (w *walk) step() error {
	name := w.todo[len(w.todo)-1]
	w.todo = w.todo[:len(w.todo)-1]
	switch name {
	case "", ".":
		return nil
	case "..":
		w.up()
		return nil
	}
	w.done = append(w.done, name)
	if w.missing >= 0 {
		return nil
	}
	return w.enter()
}

// up goes to the parent, and at the root stays, as chroot(2) has it. Leaving
// what is missing after that, it comes back to what exists.
func (w *walk) up() {
	if len(w.done) > 0 {
		w.done = w.done[:len(w.done)-1]
	}
	if len(w.done) <= w.missing {
		w.missing = -1
	}
}

// enter looks at the component just taken.
func (w *walk) enter() error {
	fd, err := open2(w.root, w.path())
	switch err {
	case nil:
	case unix.ENOENT, unix.ENOTDIR:
		w.missing = len(w.done) - 1
		return nil
	default:
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if kindOf(st.Mode) == host.Symlink {
		return w.link(readlink(fd, ""))
	}
	return nil
}

// link replaces the component just taken with the link's text.
func (w *walk) link(text string) error {
	w.links++
	if w.links > maxLinks || text == "" {
		return unix.ELOOP
	}
	w.done = w.done[:len(w.done)-1]
	if text[0] == '/' {
		w.done = w.done[:0]
	}
	w.push(text)
	return nil
}

func (w *walk) path() string {
	if len(w.done) == 0 {
		return "."
	}
	return strings.Join(w.done, "/")
}

// clean is the destination without empty and "." components and without the
// leading slash; "." for the root. It does not touch "..". The common form
// "/a/b" is cut, not copied.
func clean(destination string) string {
	path := strings.Trim(destination, "/")
	if path == "" {
		return "."
	}
	if !strings.Contains(path, "//") && !hasDot(path) {
		return path
	}
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	kept := parts[:0]
	for _, part := range parts {
		if part != "." {
			kept = append(kept, part)
		}
	}
	if len(kept) == 0 {
		return "."
	}
	return strings.Join(kept, "/")
}

// hasDot reports whether one of the components is ".".
func hasDot(path string) bool { return hasComponent(path, ".") }

// hasDotDot reports whether one of the components is "..".
func hasDotDot(path string) bool { return hasComponent(path, "..") }

func hasComponent(path, name string) bool {
	for path != "" {
		part, rest, _ := strings.Cut(path, "/")
		if part == name {
			return true
		}
		path = rest
	}
	return false
}

// places are clean paths, to look one up at or above another.
type places map[string]bool

// hold reports whether a clean path is one of the places or lies below one.
func (p places) hold(path string) bool {
	for {
		if p[path] {
			return true
		}
		if path == "." {
			return false
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			path = "."
		} else {
			path = path[:i]
		}
	}
}
