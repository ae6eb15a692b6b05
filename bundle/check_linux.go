package bundle

import (
	"github.com/homerun-oci/homerun/jsonread"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxMappings is the kernel's UID_GID_MAP_MAX_EXTENTS.
const maxMappings = 340

// namespaces is a set of namespace types: bit N for namespaceTypes[N].
type namespaces uint

func (n namespaces) has(kind specs.LinuxNamespaceType) bool {
	return n&(1<<slices.Index(namespaceTypes[:], kind)) != 0
}

// linux checks the section and returns which namespaces it has.
func (c *checker) linux(l *specs.Linux) namespaces {
	if l == nil {
		return 0
	}
	present := c.namespaces(l.Namespaces)
	c.mappings(l.UIDMappings, "linux.uidMappings")
	c.mappings(l.GIDMappings, "linux.gidMappings")
	c.timeOffsets(l.TimeOffsets, present)
	c.devices(l.Devices)
	c.sysctl(l.Sysctl)
	c.absolutePaths(l.MaskedPaths, "linux.maskedPaths[]")
	c.absolutePaths(l.ReadonlyPaths, "linux.readonlyPaths[]")
	c.text(l.CgroupsPath, "linux.cgroupsPath")
	c.text(l.MountLabel, "linux.mountLabel")
	c.propagation(l.RootfsPropagation)
	c.personality(l.Personality)
	if l.Resources != nil {
		c.prefix = "linux.resources."
		c.resources(l.Resources)
		c.prefix = ""
	}
	return present
}

func (c *checker) absolutePaths(paths []string, pattern string) {
	for i, path := range paths {
		c.absolute(path, pattern, i)
	}
}

func (c *checker) namespaces(list []specs.LinuxNamespace) (present namespaces) {
	for i, n := range list {
		bit := slices.Index(namespaceTypes[:], n.Type)
		switch {
		case bit < 0:
			c.report(at("linux.namespaces[].type", i), "unknown namespace %q", n.Type)
		case present&(1<<bit) != 0:
			c.report(at("linux.namespaces[].type", i), "%q occurs twice", n.Type)
		default:
			present |= 1 << bit
		}
		if n.Path != "" {
			c.absolute(n.Path, "linux.namespaces[].path", i)
		}
	}
	return present
}

// mappings checks what the kernel would refuse in a uid_map or gid_map.
func (c *checker) mappings(list []specs.LinuxIDMapping, pattern string, index ...int) {
	if len(list) > maxMappings {
		c.report(at(pattern, index...), "%d mappings are more than %d", len(list), maxMappings)
		return
	}
	for i, m := range list {
		if reason := mappingFault(m, list[:i]); reason != "" {
			c.report(at(at(pattern, index...)+"[]", i), "%s", reason)
		}
	}
}

// mappingFault says what is wrong with a mapping after those before it. The
// last id, 2^32-1, stands for "no id" and cannot be mapped.
func mappingFault(m specs.LinuxIDMapping, before []specs.LinuxIDMapping) string {
	size := uint64(m.Size)
	switch {
	case size == 0:
		return "the size is 0"
	case uint64(m.ContainerID)+size > math.MaxUint32, uint64(m.HostID)+size > math.MaxUint32:
		return "the range ends after 4294967294"
	}
	for j, other := range before {
		if overlap(m.ContainerID, other.ContainerID, m.Size, other.Size) {
			return "the container ids overlap those of mapping " + strconv.Itoa(j)
		}
		if overlap(m.HostID, other.HostID, m.Size, other.Size) {
			return "the host ids overlap those of mapping " + strconv.Itoa(j)
		}
	}
	return ""
}

// overlap reports whether the ranges that start at a and b meet.
func overlap(a, b, sizeA, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

func (c *checker) timeOffsets(offsets map[string]specs.LinuxTimeOffset, present namespaces) {
	if len(offsets) > 0 && !present.has(specs.TimeNamespace) {
		c.report("linux.timeOffsets", "needs a time namespace")
	}
	for _, clock := range sortedKeys(offsets) {
		if clock != "monotonic" && clock != "boottime" {
			c.report(jsonread.Keyed("linux.timeOffsets", clock), "unknown clock %q", clock)
		}
		if n := offsets[clock].Nanosecs; n > 999_999_999 {
			c.report(jsonread.Keyed("linux.timeOffsets", clock)+".nanosecs", "%d is a second or more", n)
		}
	}
}

func (c *checker) devices(devices []specs.LinuxDevice) {
	for i := range devices {
		d := &devices[i]
		switch d.Type {
		case "c", "u", "b", "p":
		default:
			c.report(at("linux.devices[].type", i), "expected c, u, b or p, found %q", d.Type)
		}
		c.absolute(d.Path, "linux.devices[].path", i)
	}
}

func (c *checker) sysctl(settings map[string]string) {
	for _, key := range sortedKeys(settings) {
		if !isSysctl(key) {
			c.report(jsonread.Keyed("linux.sysctl", key), "%q is not the name of a sysctl", key)
		}
		if strings.IndexByte(settings[key], 0) >= 0 {
			c.report(jsonread.Keyed("linux.sysctl", key), "%q contains a NUL byte", settings[key])
		}
	}
}

// isSysctl reports whether key names a file below /proc/sys, and none elsewhere.
// As in sysctl(8) the first separator decides: after a "." each "/" stands for
// a ".", and after a "/" a "." is itself.
func isSysctl(key string) bool {
	first := strings.IndexAny(key, "./")
	if first < 0 || strings.IndexByte(key, 0) >= 0 {
		return false
	}
	for component := range strings.SplitSeq(key, key[first:first+1]) {
		if strings.Trim(component, "./") == "" {
			return false
		}
	}
	return true
}

func (c *checker) propagation(value string) {
	switch strings.TrimPrefix(value, "r") {
	case "", "shared", "slave", "private", "unbindable":
		if value != "r" {
			return
		}
	}
	c.report("linux.rootfsPropagation", "unknown propagation %q", value)
}

func (c *checker) personality(p *specs.LinuxPersonality) {
	if p == nil {
		return
	}
	if p.Domain != specs.PerLinux && p.Domain != specs.PerLinux32 {
		c.report("linux.personality.domain", "expected LINUX or LINUX32, found %q", p.Domain)
	}
	for i, flag := range p.Flags {
		c.warn(at("linux.personality.flags[]", i), "unknown flag %q is ignored", flag)
	}
}

func (c *checker) resources(r *specs.LinuxResources) {
	for i := range r.Devices {
		if a := r.Devices[i].Access; strings.Trim(a, "rwm") != "" {
			c.warn(at("devices[].access", i), "letters of %q other than r, w and m are ignored", a)
		}
	}
	for i, limit := range r.HugepageLimits {
		if !isPageSize(limit.Pagesize) {
			c.report(at("hugepageLimits[].pageSize", i), "expected a size such as 2MB, found %q", limit.Pagesize)
		}
	}
	for _, name := range sortedKeys(r.Unified) {
		if !isFileName(name) {
			c.report(jsonread.Keyed("unified", name), "%q is not the name of a cgroup file", name)
		}
		if strings.IndexByte(r.Unified[name], 0) >= 0 {
			c.report(jsonread.Keyed("unified", name), "%q contains a NUL byte", r.Unified[name])
		}
	}
}

// isPageSize matches ^[1-9][0-9]*[KMG]B$.
func isPageSize(size string) bool {
	number, ok := strings.CutSuffix(size, "B")
	if !ok || number == "" || strings.IndexByte("KMG", number[len(number)-1]) < 0 {
		return false
	}
	number = number[:len(number)-1]
	return isDigits(number) && number[0] != '0'
}

// isFileName keeps the names of cgroup files, which become part of a path,
// inside their directory.
func isFileName(name string) bool {
	return name != "" && name != "." && !strings.Contains(name, "..") && !strings.ContainsAny(name, "/\x00")
}

var namespaceTypes = [...]specs.LinuxNamespaceType{
	specs.PIDNamespace, specs.NetworkNamespace, specs.MountNamespace, specs.IPCNamespace,
	specs.UTSNamespace, specs.UserNamespace, specs.CgroupNamespace, specs.TimeNamespace,
}
