package probe

import (
	"bytes"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/userns"
)

// The capabilities that make helpers needless (capabilities(7)).
const mapCapabilities = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID

// subordinate finds the ids that the caller may map and the helpers that map
// them, when the new user namespace may have more than the own id.
func (p *prober) subordinate() error {
	if !p.wantsSubordinate() {
		return nil
	}
	s := &p.facts.Subordinate
	s.NewUIDMap = helper("newuidmap")
	s.NewGIDMap = helper("newgidmap")
	owners := p.owners()
	s.Login = owners[0]
	s.UIDs = p.ranges("/etc/subuid", owners)
	s.GIDs = p.ranges("/etc/subgid", owners)
	if len(s.UIDs) == 0 && len(s.GIDs) == 0 {
		return p.askNameService()
	}
	return nil
}

// wantsSubordinate is false when config.json gives mappings that need no
// subordinate ids: with the capability to map what one likes, or when each map
// is the single own id.
func (p *prober) wantsSubordinate() bool {
	if !p.newUserNS {
		return false
	}
	linux := p.linux()
	if len(linux.UIDMappings) == 0 && len(linux.GIDMappings) == 0 {
		return true
	}
	if p.facts.Process.Capabilities&mapCapabilities == mapCapabilities {
		return false
	}
	return !isSingle(linux.UIDMappings, p.facts.Process.UID) || !isSingle(linux.GIDMappings, p.facts.Process.GID)
}

func isSingle(mappings []specs.LinuxIDMapping, own int) bool {
	return len(mappings) == 1 && mappings[0].Size == 1 && mappings[0].HostID == uint32(own)
}

// owners is what the caller may be called in /etc/subuid: the login name first
// ("" if there is none), then the names that share its uid, which newuidmap
// takes too, then the uid as a number.
func (p *prober) owners() []string {
	uid := uint32(p.facts.Process.UID)
	var owners []string
	if text, err := p.readFile("/etc/passwd"); err == nil {
		owners = loginNames(text, uid)
	}
	if len(owners) == 0 {
		owners = append(owners, "")
	}
	return append(owners, strconv.FormatUint(uint64(uid), 10))
}

// loginNames reads /etc/passwd (passwd(5)) for the names with a uid. Lines
// with too few fields and the "+" and "-" lines of NIS count for nothing.
func loginNames(passwd []byte, uid uint32) []string {
	var names []string
	for len(passwd) > 0 {
		line, rest, _ := bytes.Cut(passwd, []byte{'\n'})
		passwd = rest
		name, rest, _ := bytes.Cut(line, []byte{':'})
		_, rest, _ = bytes.Cut(rest, []byte{':'})
		id, _, more := bytes.Cut(rest, []byte{':'})
		if n, ok := number(id); !ok || n != uid || !more || !isName(name) {
			continue
		}
		names = append(names, string(name))
	}
	return names
}

func isName(b []byte) bool {
	return len(b) > 0 && b[0] != '+' && b[0] != '-' && b[0] != '#'
}

// ranges reads one file. A missing or unreadable one grants nothing.
func (p *prober) ranges(path string, owners []string) []host.Range {
	text, err := p.readFile(path)
	if err != nil {
		return nil
	}
	grants := userns.Grants(text, owners)
	if len(grants) == 0 {
		return nil
	}
	return userns.Ranges(grants)
}

// helper finds a setuid helper in a fixed list of directories that only root
// writes to. It is never looked for in $PATH, nor in the container's
// (CVE-2026-84042: a runtime ran a program that the image had put there).
func helper(name string) string {
	for _, dir := range [...]string{"/usr/bin/", "/bin/", "/usr/local/bin/", "/usr/sbin/", "/sbin/",
		"/run/wrappers/bin/", "/run/current-system/sw/bin/"} {
		if path := dir + name; unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, 0) == nil {
			return path
		}
	}
	return ""
}
