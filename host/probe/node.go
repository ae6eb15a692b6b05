package probe

import (
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// deviceSource looks at the host's node of a device. Where the host has another
// one under that name, or none, its number finds it.
func (p *prober) deviceSource(d *specs.LinuxDevice) {
	if d.Type == "p" {
		return // made, never bound
	}
	path := SourcePath(p.BundleDir, d.Path)
	p.addSource(path, false)
	kind, rdev := host.Character, unix.Mkdev(uint32(d.Major), uint32(d.Minor))
	if d.Type == "b" {
		kind = host.Block
	}
	if s := p.facts.Sources[path]; s.Kind == kind && s.Rdev == rdev {
		return
	}
	if at := findNode(kind, rdev); at != "" {
		if p.facts.Nodes == nil {
			p.facts.Nodes = make(map[string]string)
		}
		p.facts.Nodes[host.DeviceName(kind, rdev)] = at
	}
}

// findNode finds a device in /dev by its number: sysfs names it, and where that
// is not mounted or knows no name, /dev is searched.
func findNode(kind host.Kind, rdev uint64) string {
	if at := nodeOfSysfs(kind, rdev); at != "" {
		return at
	}
	left := maxNodes
	return searchNode("/dev", kind, rdev, 0, &left)
}

// nodeOfSysfs reads the name of a device, relative to /dev:
// Documentation/ABI/testing/sysfs-uevent.
func nodeOfSysfs(kind host.Kind, rdev uint64) string {
	number := strconv.Itoa(int(unix.Major(rdev))) + ":" + strconv.Itoa(int(unix.Minor(rdev)))
	text, err := os.ReadFile("/sys/dev/" + string(kind) + "/" + number + "/uevent")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "DEVNAME="); ok && isNode("/dev/"+name, kind, rdev) {
			return "/dev/" + name
		}
	}
	return ""
}

// The bounds of a search in /dev: names looked at, and directories below each
// other.
const (
	maxNodes = 4096
	maxDepth = 4
)

// searchNode looks for a device below a directory. It follows no symbolic link
// and enters no directory that users can make files in.
func searchNode(dir string, kind host.Kind, rdev uint64, depth int, left *int) string {
	if depth == maxDepth {
		return ""
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		at := dir + "/" + e.Name()
		if *left--; *left < 0 {
			return ""
		}
		if e.Type()&os.ModeDevice != 0 && isNode(at, kind, rdev) {
			return at
		}
		if !e.IsDir() || at == "/dev/shm" || at == "/dev/mqueue" || at == "/dev/pts" {
			continue
		}
		if found := searchNode(at, kind, rdev, depth+1, left); found != "" {
			return found
		}
	}
	return ""
}

// isNode reports whether a path is itself that device.
func isNode(path string, kind host.Kind, rdev uint64) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && kindOf(st.Mode) == kind && st.Rdev == rdev
}
