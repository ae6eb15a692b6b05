package probe

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// The places where systemd and its peers mount cgroup2: alone, or next to the
// controllers of version 1 ("hybrid").
const (
	cgroupRoot   = "/sys/fs/cgroup"
	cgroupHybrid = "/sys/fs/cgroup/unified"
)

// CgroupMountPoint is where cgroup2 is mounted, or "".
func CgroupMountPoint() string {
	at, _ := cgroupMount()
	return at
}

func cgroupMount() (at string, readOnly bool) {
	for _, at := range [...]string{cgroupRoot, cgroupHybrid} {
		var st unix.Statfs_t
		if unix.Statfs(at, &st) == nil && uint32(st.Type) == unix.CGROUP2_SUPER_MAGIC {
			return at, st.Flags&unix.ST_RDONLY != 0
		}
	}
	return "", false
}

// cgroup finds the runtime's place in the cgroup tree.
func (p *Prober) cgroup() *host.Cgroup {
	c := &host.Cgroup{}
	c.MountPoint, c.ReadOnly = cgroupMount()
	c.Unified = c.MountPoint == cgroupRoot
	if text, err := p.readFile("/proc/self/cgroup"); err == nil {
		c.Path = unifiedPath(text)
	}
	return c
}

// unifiedPath is the path of the "0::" line (cgroups(7)); "/.." at its start
// means that it lies outside of the cgroup namespace.
func unifiedPath(text []byte) string {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		if path, ok := bytes.CutPrefix(line, []byte("0::")); ok {
			return string(path)
		}
		text = rest
	}
	return ""
}
