package rootfs

import (
	"strings"

	"github.com/homerun-oci/homerun/host"
	"golang.org/x/sys/unix"
)

// Needs adds what Sources, and all that follows it, has to know of the host and
// the root. Of c's facts only those about the runtime's own process count; c has
// Mounts.
func Needs(c Config, n *host.Needs) {
	t := &Tree{config: c, facts: c.Facts, restricted: c.restricts()}
	for i := range c.Mounts {
		m := &c.Mounts[i]
		t.needsSource(m, n)
		if dir, _ := splitPath(m.Destination); m.options.copySymlink && dir != "" {
			n.Targets = append(n.Targets, host.Destination{Path: "/" + dir, Place: host.Place(m.pointer())})
		}
		n.Targets = append(n.Targets, host.Destination{Path: m.Destination, Place: host.Place(m.pointer()), Mount: true,
			Link: m.options.copySymlink || m.options.targetNofollow, Tree: m.options.copyUp})
	}
	if cwd := c.Spec.Process.Cwd; inside(cwd) != "" {
		n.Targets = append(n.Targets, host.Destination{Path: cwd, Place: "process.cwd"})
	}
	if c.Overlay != nil {
		n.Layers = overlayPlace
	}
	t.needsTarget("/dev", "default", n)
	t.needsDevices(n)
	t.needsProc(n)
	if c.NoPivot {
		n.KernelMounts = "default"
	}
}

// needsTarget is a place where something is made that is no mount of config.json,
// unless one covers it.
func (t *Tree) needsTarget(p string, place host.Place, n *host.Needs) {
	if t.mountpoints.at == nil {
		for i := range t.config.Mounts {
			if m := &t.config.Mounts[i]; !m.options.remount {
				t.mountpoints.add(inside(m.Destination))
			}
		}
	}
	if !t.isCovered(inside(p)) {
		n.Targets = append(n.Targets, host.Destination{Path: p, Place: place})
	}
}

// NeedsRunning is Needs for Running: what the mounts bind.
func NeedsRunning(c Config, n *host.Needs) {
	t := &Tree{config: c, facts: c.Facts, restricted: c.restricts()}
	for i := range c.Mounts {
		t.needsSource(&c.Mounts[i], n)
	}
}

// restricts reports whether the container is in a user namespace other than the
// machine's first, where the kernel allows less.
func (c *Config) restricts() bool { return c.NewUser || !c.Facts.UserNamespace.Initial }

// needsSource is what a mount binds, or may be replaced with.
func (t *Tree) needsSource(m *Mount, n *host.Needs) {
	place := host.Place(m.pointer())
	switch {
	case m.options.remount:
	case m.options.bind:
		n.Sources = append(n.Sources, host.Path{Path: t.config.Absolute(m.Source), Place: place,
			Nofollow: m.options.copySymlink || m.options.sourceNofollow})
	case m.IsCgroup():
		if !t.config.NewCgroup && t.config.Cgroup == "" {
			n.Cgroup = place
		}
	default:
		if from := t.hostInstead(m); from != "" {
			n.Sources = append(n.Sources, host.Path{Path: from, Place: place})
		}
	}
}

// needsDevices are the nodes that are bound because none can be made, and where
// nodes are put. A default device is left out where the host does not have it under
// its name.
func (t *Tree) needsDevices(n *host.Needs) {
	bound := bindsDev(t.config.Mounts)
	for _, d := range configDevices(linux(t.config.Spec).Devices) {
		if bound && isBelow(inside(d.path), "dev") || t.isLink(&d) {
			continue
		}
		place := host.Place(d.pointer)
		t.needsTarget(d.path, place, n)
		switch {
		case !t.restricted || d.kind == unix.S_IFIFO:
		case d.byDefault:
			n.Sources = append(n.Sources, host.Path{Path: d.path, Place: place})
		default:
			n.Devices = append(n.Devices, host.Device{Path: d.path, Place: place, Kind: d.hostKind(), Rdev: unix.Mkdev(d.major, d.minor)})
		}
	}
}

// needsProc are the masked paths of the kernel's file systems, and the one that a
// link of /dev leads to.
func (t *Tree) needsProc(n *host.Needs) {
	for _, p := range linux(t.config.Spec).MaskedPaths {
		if strings.HasPrefix(p, "/proc/") || strings.HasPrefix(p, "/sys/") {
			n.Proc = append(n.Proc, host.Path{Path: p, Place: "linux.maskedPaths"})
		}
	}
	if !bindsDev(t.config.Mounts) {
		n.Proc = append(n.Proc, host.Path{Path: "/proc/kcore", Place: "default"})
	}
}
