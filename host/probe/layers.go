package probe

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// layers finds what an overlay over the root that fd is open on is put together
// from. What lies at or below a mount of the container does not matter.
func (p *Prober) layers(fd int, n *host.Needs) {
	l := &host.Layers{}
	p.Facts.Layers = l
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		l.Error = errnoName(err)
		return
	}
	l.UID = int(st.Uid)
	text, err := readAll("/proc/self/mountinfo")
	if err != nil {
		l.Error = "/proc/self/mountinfo cannot be read: " + errnoName(err)
		return
	}
	covered := make(places)
	for _, d := range n.Targets {
		if t := p.Facts.Targets[d.Path]; d.Mount && t.Unknown == "" {
			covered[t.Resolved] = true
		}
	}
	t := &takeApart{root: fd, layers: l, covered: covered, plain: make(places), mounted: make(places)}
	for _, point := range mountsBelow(text, n.Rootfs) {
		t.note(point)
	}
	if len(t.plain) == 0 {
		return
	}
	if err := t.directory("."); err != nil {
		l.Error = err.Error()
	}
}

// mountsBelow are the mount points below a directory, relative to it: proc(5).
func mountsBelow(mountinfo []byte, dir string) (list []string) {
	dir = strings.TrimSuffix(path.Clean(dir), "/") + "/"
	for line := range strings.Lines(string(mountinfo)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			if point, below := strings.CutPrefix(unescape(fields[4]), dir); below && point != "" {
				list = append(list, point)
			}
		}
	}
	return list
}

// takeApart is the state of taking a root apart.
type takeApart struct {
	root   int
	layers *host.Layers
	// covered are the container's mounts, plain the directories on the way to a
	// mount, mounted where something is mounted.
	covered, plain, mounted places
}

// note takes a mount point in: what is above it is made anew, up to what the
// container covers.
func (t *takeApart) note(point string) {
	for p := point; p != "."; p = path.Dir(p) {
		if t.covered[p] {
			point = p
		}
	}
	t.mounted[point] = true
	for p := point; p != "."; {
		p = path.Dir(p)
		t.plain[p] = true
	}
}

// directory lists a directory that is made anew. One that cannot be listed is empty.
func (t *takeApart) directory(dir string) error {
	fd, err := openDirectory(t.root, dir)
	if err != nil {
		return nil
	}
	names, err := readNames(fd)
	unix.Close(fd)
	if err != nil {
		return fmt.Errorf("list %s: %s", dir, errnoName(err))
	}
	for _, name := range names {
		if err := t.part(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// part adds one file.
func (t *takeApart) part(p string) error {
	st, err := look(t.root, p)
	if err != nil {
		return nil // it has gone, or nobody may look at it
	}
	part := host.Part{Path: p, Kind: kindOf(st.Mode), Mode: permissions(st.Mode)}
	part.Plain = part.Kind == host.Directory && (t.plain[p] || t.covered[p])
	part.Mount = t.mounted[p]
	switch part.Kind {
	case host.Symlink:
		fd, err := open2(t.root, p)
		if err != nil {
			return nil
		}
		part.Link = readlink(fd, "")
		unix.Close(fd)
	case host.Directory, host.Regular:
		part.Flags = t.flags(p)
	}
	if t.layers.Parts = append(t.layers.Parts, part); len(t.layers.Parts) > host.MaxParts {
		t.layers.Parts = nil
		return fmt.Errorf("the directories with mounts below have more than %d files", host.MaxParts)
	}
	if part.Plain && !t.covered[p] {
		return t.directory(p)
	}
	return nil
}

func (t *takeApart) flags(p string) []string {
	var fs unix.Statfs_t
	fd, err := open2(t.root, p)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	if unix.Fstatfs(fd, &fs) != nil {
		return nil
	}
	return slices.DeleteFunc(flagNames(int64(fs.Flags)), func(name string) bool { return name == "ro" || strings.HasSuffix(name, "time") })
}
