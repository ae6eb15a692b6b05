package probe

import (
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// sources looks at each host path that the container may get a mount of.
func (p *Prober) sources(n *host.Needs) {
	if len(n.Sources)+len(n.Devices) == 0 {
		return
	}
	if p.Facts.Sources == nil {
		p.Facts.Sources = make(map[string]host.Source, len(n.Sources)+len(n.Devices))
		p.mountFlags = make(map[uint64][]string, 4)
	}
	for i := range n.Sources {
		p.source(n.Sources[i].Path, n.Sources[i].Nofollow)
	}
	for i := range n.Devices {
		p.device(&n.Devices[i])
	}
}

func (p *Prober) source(path string, nofollow bool) {
	if _, done := p.Facts.Sources[path]; !done || nofollow {
		p.Facts.Sources[path] = p.look(path, nofollow)
	}
}

// look describes a path of the runtime namespace. It does not block on a
// FIFO or a device, as nothing is opened. With nofollow a symbolic link at the
// end is described itself.
func (p *Prober) look(path string, nofollow bool) host.Source {
	var st unix.Statx_t
	flags := unix.AT_STATX_SYNC_AS_STAT
	if nofollow {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	err := unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_TYPE|unix.STATX_MNT_ID, &st)
	if err != nil {
		return host.Source{Path: path, Error: errnoName(err)}
	}
	s := fromStatx(path, &st)
	if s.Kind == host.Symlink {
		s.Link = readlink(unix.AT_FDCWD, path)
	}
	s.Flags = p.flags(&st, path)
	return s
}

func fromStatx(path string, st *unix.Statx_t) host.Source {
	s := host.Source{Path: path, Kind: kindOf(uint32(st.Mode))}
	if s.Kind == host.Character || s.Kind == host.Block {
		s.Rdev = unix.Mkdev(st.Rdev_major, st.Rdev_minor)
	}
	return s
}

// flags returns the mount flags at path. Paths on one mount share one statfs;
// before Linux 5.8 nothing says which mount a path is on.
func (p *Prober) flags(st *unix.Statx_t, path string) []string {
	known := st.Mask&unix.STATX_MNT_ID != 0
	if known {
		if f, ok := p.mountFlags[st.Mnt_id]; ok {
			return f
		}
	}
	var fs unix.Statfs_t
	if kindOf(uint32(st.Mode)) == host.Symlink || unix.Statfs(path, &fs) != nil {
		return nil
	}
	f := flagNames(int64(fs.Flags))
	if known {
		p.mountFlags[st.Mnt_id] = f
	}
	return f
}

// flagNames translates f_flags of statfs(2) to mount options. ST_RDONLY is set
// both for a read-only mount and for a read-only superblock; either way the
// container cannot write there. What a superblock forbids is not locked, but
// clearing the mount's flag would not help either.
func flagNames(flags int64) []string {
	if flags&(unix.ST_RDONLY|unix.ST_NOSUID|unix.ST_NODEV|unix.ST_NOEXEC|unix.ST_NOATIME|unix.ST_NODIRATIME|unix.ST_RELATIME) == 0 {
		return nil
	}
	names := make([]string, 0, 4)
	for _, f := range [...]struct {
		bit  int64
		name string
	}{
		{unix.ST_NOSUID, "nosuid"},
		{unix.ST_NODEV, "nodev"},
		{unix.ST_NOEXEC, "noexec"},
		{unix.ST_RDONLY, "ro"},
		{unix.ST_NOATIME, "noatime"},
		{unix.ST_NODIRATIME, "nodiratime"},
		{unix.ST_RELATIME, "relatime"},
	} {
		if flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return names
}

func readlink(dir int, path string) string {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, path, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// kinds looks at paths of the kernel's file systems. What cannot be looked at
// counts as missing.
func (p *Prober) kinds(list []host.Path) {
	if len(list) == 0 {
		return
	}
	p.Facts.Proc = make(map[string]host.Kind, len(list))
	for i := range list {
		if _, done := p.Facts.Proc[list[i].Path]; done {
			continue
		}
		var st unix.Stat_t
		kind := host.Missing
		if unix.Stat(list[i].Path, &st) == nil {
			kind = kindOf(st.Mode)
		}
		p.Facts.Proc[list[i].Path] = kind
	}
}
