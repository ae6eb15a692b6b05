package probe

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// device looks at the host's node of a device. Where the host has another one under
// that name, or none, its number finds it.
func (p *Prober) device(d *host.Device) {
	p.source(d.Path, false)
	if d.Is(p.Facts.Sources[d.Path]) {
		return
	}
	if p.Facts.Nodes == nil {
		p.Facts.Nodes = make(map[string]string)
	}
	p.Facts.Nodes[host.DeviceName(d.Kind, d.Rdev)] = findNode(d.Kind, d.Rdev)
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
