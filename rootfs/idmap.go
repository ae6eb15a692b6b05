package rootfs

import (
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation: id-mapped mounts
//
// The kernel lets a mount show other owners than the file system has (Linux
// 5.12), if the caller has CAP_SYS_ADMIN in the user namespace that the file
// system was mounted in, and in the one whose maps are used. A container's init
// in a new user namespace has neither over the host's file systems, so the
// runtime prepares the mount, outside: a clone of the source, mapped, which the
// stage inherits and attaches. See package rootfs/idmap. A file system that the
// container makes itself is mapped by the stage, with an inherited namespace.

// IDMap is a descriptor that the runtime prepares for an id-mapped mount.
type IDMap struct {
	// Input is the plan's name for the descriptor.
	Input string
	// Pointer and What are for errors.
	Pointer, What string
	// Source is cloned and mapped; when empty, the descriptor is the user
	// namespace itself.
	Source string
	// Recursive clones the mounts below too, Deep maps them too. Nofollow
	// takes a symbolic link itself.
	Recursive, Deep, Nofollow bool
	// UserNamespace is the path of a namespace that has the maps; when empty,
	// one is made with UIDs and GIDs.
	UserNamespace string
	UIDs, GIDs    []host.Mapping

	index int
}

// mapped reports whether the mount is id-mapped.
func (m *Mount) mapped() bool {
	return m.options.idmap || len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0
}

// IDMaps lists what the runtime prepares, one for each id-mapped mount. They
// are inputs of the plan, by mount in Config.Inputs.
func IDMaps(c Config) ([]IDMap, error) {
	var list []IDMap
	for i := range c.Spec.Mounts {
		if !MayMap(c.Spec.Mounts[i]) {
			continue
		}
		mounts, err := ReadMounts(c.Spec.Mounts[i : i+1])
		if err != nil || !mounts[0].mapped() {
			continue // Sources reports the error, in its order
		}
		m := &mounts[0]
		m.index = i
		im, err := m.idMap(&c)
		if err != nil {
			return nil, err
		}
		list = append(list, im)
	}
	return list, nil
}

// MayMap reports whether a mount may be id-mapped; it spares those of every container
// a second reading.
func MayMap(m specs.Mount) bool {
	for _, o := range m.Options {
		if strings.HasPrefix(o, "idmap") || strings.HasPrefix(o, "ridmap") {
			return true
		}
	}
	return len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0
}

// Mount is the index of the mount in config.json.
func (im *IDMap) Mount() int { return im.index }

func (m *Mount) idMap(c *Config) (IDMap, error) {
	o := &m.options
	im := IDMap{Input: "idmap" + strconv.Itoa(m.index), Pointer: m.pointer(), What: m.what(), index: m.index,
		Recursive: o.recursive, Deep: o.idmapDeep, Nofollow: o.sourceNofollow}
	switch {
	case o.bind:
		im.Source = c.Absolute(m.Source)
	case c.NewUser:
		return im, m.optionError("in a container with a user namespace of its own, a new file system has its ids already: only bind mounts can be id-mapped")
	}
	return im, m.maps(c, &im)
}

// maps finds the mapping: the mount's own, the option's, or the container's.
func (m *Mount) maps(c *Config, im *IDMap) error {
	switch {
	case len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0:
		im.UIDs, im.GIDs = mappings(m.UIDMappings), mappings(m.GIDMappings)
	case m.options.idmapText != "":
		var ok bool
		if im.UIDs, im.GIDs, ok = parseIDMap(m.options.idmapText, c); !ok {
			return m.optionError(strconv.Quote("idmap="+m.options.idmapText) +
				" is not of the form uids=FILE-HOST-COUNT#...;gids=..., where @ before FILE counts HOST from the container's ids")
		}
	case c.UserNamespace != "":
		im.UserNamespace = c.UserNamespace
		return nil
	default:
		im.UIDs, im.GIDs = c.UIDs, c.GIDs
	}
	if len(im.UIDs) == 0 || len(im.GIDs) == 0 {
		return m.optionError("an id-mapped mount needs uidMappings and gidMappings, or a container with a user namespace of its own")
	}
	return nil
}

func mappings(list []specs.LinuxIDMapping) []host.Mapping {
	var out []host.Mapping
	for _, l := range list {
		out = append(out, host.Mapping{ContainerID: l.ContainerID, HostID: l.HostID, Size: l.Size})
	}
	return out
}

// parseIDMap reads crun's form: uids=0-100000-65536#...;gids=...
func parseIDMap(text string, c *Config) (uids, gids []host.Mapping, ok bool) {
	for _, part := range strings.Split(text, ";") {
		kind, ranges, _ := strings.Cut(part, "=")
		for _, r := range strings.Split(ranges, "#") {
			switch kind {
			case "uids":
				uids, ok = appendRange(uids, r, c.UIDs)
			case "gids":
				gids, ok = appendRange(gids, r, c.GIDs)
			default:
				ok = false
			}
			if !ok {
				return nil, nil, false
			}
		}
	}
	return uids, gids, true
}

// appendRange reads one FILE-HOST-COUNT. With @ in front, HOST is an id in the
// container, and the range is split where the container's ids are not in one
// piece on the host.
func appendRange(list []host.Mapping, text string, container []host.Mapping) ([]host.Mapping, bool) {
	text, relative := strings.CutPrefix(text, "@")
	parts := strings.Split(text, "-")
	if len(parts) != 3 {
		return nil, false
	}
	var n [3]uint32
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return nil, false
		}
		n[i] = uint32(v)
	}
	m := host.Mapping{ContainerID: n[0], HostID: n[1], Size: n[2]}
	if m.Size == 0 || uint64(m.ContainerID)+uint64(m.Size) > 1<<32-1 || uint64(m.HostID)+uint64(m.Size) > 1<<32-1 {
		return nil, false
	}
	if !relative {
		return append(list, m), true
	}
	return appendRelative(list, m, container)
}

func appendRelative(list []host.Mapping, m host.Mapping, container []host.Mapping) ([]host.Mapping, bool) {
	for m.Size > 0 {
		line, ok := find(container, m.HostID)
		if !ok {
			return nil, false
		}
		offset := m.HostID - line.ContainerID
		n := min(m.Size, line.Size-offset)
		list = append(list, host.Mapping{ContainerID: m.ContainerID, HostID: line.HostID + offset, Size: n})
		m.ContainerID, m.HostID, m.Size = m.ContainerID+n, m.HostID+n, m.Size-n
	}
	return list, true
}

// find is the line of a map that has a container id.
func find(list []host.Mapping, id uint32) (host.Mapping, bool) {
	for _, l := range list {
		if l.ContainerID <= id && id-l.ContainerID < l.Size {
			return l, true
		}
	}
	return host.Mapping{}, false
}

// setIDMap maps a file system that the container made.
func (t *Tree) setIDMap(m *Mount, mount plan.Slot) {
	user := t.config.Inputs[m.index]
	flags := unix.AT_EMPTY_PATH
	if m.options.idmapDeep {
		flags |= unix.AT_RECURSIVE
	}
	t.b.Do(plan.MountSetattr{DirFD: mount.Ref(), Flags: flags, Set: unix.MOUNT_ATTR_IDMAP, UserNS: user.Ref()})
	t.b.Close(user)
}

// Failed words the errno with which the preparation of an id-mapped mount
// failed.
func (im *IDMap) Failed(errno unix.Errno, facts *host.Facts) error {
	e := &fault.Error{Place: im.Pointer, What: im.What, Errno: errno,
		Why: "map its ids: " + errno.Error() + " (" + plan.ErrnoName(errno) + ")"}
	switch {
	case errno == unix.EPERM && !(facts.UserNamespace.Initial && facts.Process.UID == 0):
		e.Hint = "only root of the user namespace in which a file system was mounted may map its ids: without root that is " +
			"no file system of the host, but a tmpfs or overlay mounted in a user namespace of your own"
	case errno == unix.EINVAL:
		e.Hint = "this file system cannot be id-mapped, or is id-mapped already, or has mounts below it that cannot be"
	}
	return e
}
