package probe

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// SourcePath is the path that is opened for a mount's source, and the key of
// Facts.Sources: absolute as it is, relative ones below the bundle directory.
// It is not cleaned, since ".." after a symbolic link means what the kernel
// says and not what the text says.
func SourcePath(bundleDir, source string) string {
	if strings.HasPrefix(source, "/") {
		return source
	}
	return bundleDir + "/" + source
}

// sources looks at each host path that the container may get a mount of.
func (p *prober) sources() {
	p.facts.Sources = make(map[string]host.Source, 16)
	for i := range p.Spec.Mounts {
		p.mountSource(&p.Spec.Mounts[i])
	}
	if p.inUserNS {
		p.deviceSources()
	}
	if len(p.facts.Sources) == 0 {
		p.facts.Sources = nil
	}
}

// mountSource looks at what a bind mount binds. In a user namespace it also
// looks at what a kernel file system is replaced with where the namespace does
// not own what the file system shows.
func (p *prober) mountSource(m *specs.Mount) {
	if isBind(m) {
		p.addSource(SourcePath(p.BundleDir, m.Source), hasOption(m, "copy-symlink") || hasOption(m, "src-nofollow"))
		return
	}
	if !p.inUserNS {
		return
	}
	switch m.Type {
	case "sysfs":
		p.addSource("/sys", false)
	case "cgroup", "cgroup2":
		p.addSource("/sys/fs/cgroup", false)
	case "proc":
		p.addUnlessNew(specs.PIDNamespace, "/proc")
	case "mqueue":
		p.addUnlessNew(specs.IPCNamespace, "/dev/mqueue")
	}
}

// addUnlessNew adds the host's own instance of a file system that shows a
// namespace, unless the container makes that namespace and so may mount it.
func (p *prober) addUnlessNew(t specs.LinuxNamespaceType, path string) {
	if ns := p.namespace(t); ns == nil || ns.Path != "" {
		p.addSource(path, false)
	}
}

// isBind follows package rootfs: the option wins over a type.
func isBind(m *specs.Mount) bool {
	return (m.Type == "bind" || hasOption(m, "bind") || hasOption(m, "rbind")) && !hasOption(m, "remount")
}

func hasOption(m *specs.Mount, option string) bool {
	for _, o := range m.Options {
		if o == option {
			return true
		}
	}
	return false
}

// deviceSources looks at the nodes that are bind-mounted because mknod(2)
// makes no device in a user namespace: the default ones and config.json's.
func (p *prober) deviceSources() {
	if !p.bindsDev() {
		for _, path := range [...]string{
			"/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/urandom",
		} {
			p.addSource(path, false)
		}
	}
	for i := range p.linux().Devices {
		p.deviceSource(&p.linux().Devices[i])
	}
}

// bindsDev tells whether /dev comes from the host, with all its nodes.
func (p *prober) bindsDev() bool {
	for i := range p.Spec.Mounts {
		m := &p.Spec.Mounts[i]
		if isBind(m) && clean(m.Destination) == "dev" {
			return true
		}
	}
	return false
}

func (p *prober) addSource(path string, nofollow bool) {
	if _, done := p.facts.Sources[path]; done && !nofollow {
		return
	}
	p.facts.Sources[path] = p.source(path, nofollow)
}

// source describes a path of the runtime namespace. It does not block on a
// FIFO or a device, as nothing is opened. With nofollow a symbolic link at the
// end is described itself.
func (p *prober) source(path string, nofollow bool) host.Source {
	var st unix.Statx_t
	flags := unix.AT_STATX_SYNC_AS_STAT
	if nofollow {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	err := unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_TYPE|unix.STATX_MODE|unix.STATX_MNT_ID, &st)
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
	s := host.Source{Path: path, Kind: kindOf(uint32(st.Mode)), Mode: permissions(uint32(st.Mode))}
	if s.Kind == host.Character || s.Kind == host.Block {
		s.Rdev = unix.Mkdev(st.Rdev_major, st.Rdev_minor)
	}
	return s
}

// flags returns the mount flags at path. Paths on one mount share one statfs;
// before Linux 5.8 nothing says which mount a path is on.
func (p *prober) flags(st *unix.Statx_t, path string) []string {
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

// procPaths looks at the paths below /proc and /sys that config.json masks or
// makes read-only. Where the look fails for another reason than absence, the
// path stays out, which means unknown.
func (p *prober) procPaths() {
	linux := p.linux()
	n := len(linux.MaskedPaths) + len(linux.ReadonlyPaths)
	if n == 0 {
		return
	}
	p.facts.Proc = make(map[string]host.Kind, n)
	for _, path := range linux.MaskedPaths {
		p.procPath(path)
	}
	for _, path := range linux.ReadonlyPaths {
		p.procPath(path)
	}
}

func (p *prober) procPath(path string) {
	if !strings.HasPrefix(path, "/proc/") && !strings.HasPrefix(path, "/sys/") {
		return
	}
	var st unix.Stat_t
	switch unix.Stat(path, &st) {
	case nil:
		p.facts.Proc[path] = kindOf(st.Mode)
	case unix.ENOENT, unix.ENOTDIR:
		p.facts.Proc[path] = host.Missing
	}
}
