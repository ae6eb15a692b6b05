package spec

import (
	"math"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Theory of operation
//
// A container on one's own files is about two questions: who the program is, and
// what of one's home it sees. The first has two answers. Yourself: the caller's user
// and group under their own numbers, and nobody else, which needs no helper program,
// and makes what is written in the current directory the caller's. Or root, with all
// subordinate ids: for what installs packages or becomes other users.
//
// The second has one answer, whoever the program is: nothing but the current
// directory, if it was asked for. The home is an empty directory in memory, with
// the current directory in it. Who wants more says so (--home); keys and tokens are
// covered then too, and so they are where the current directory holds the home, or
// where a symbolic link leads to them. What the command line names itself, the
// current directory or a volume, is never covered.

// Person is who runs a container without a bundle, and what is theirs.
type Person struct {
	// Self: the program is the caller, whose ids are UID and GID; else it is root,
	// with all subordinate ids.
	Self     bool
	UID, GID uint32
	// Everyone: root has all users and groups of the machine, as real root may.
	Everyone bool
	// Umask is the caller's, for a program that is the caller; nil where that is the
	// usual one.
	Umask *uint32
	// Name is the caller's, for USER and LOGNAME; empty when nobody knows.
	Name string
	// Home is the caller's home directory, Homes are all that are covered: those
	// by other names, too. All exist, and are the caller's.
	Home  string
	Homes []string
	// Visible says that the home is there: "ro", "rw", or "here" where the current
	// directory holds it.
	Visible string
	// Keys are the places with keys and tokens that the container would see.
	Keys []string
	// Links are the symbolic links by which these were found.
	Links []string
	// Env are the NAME=VALUE that go along, but for PATH and HOME, and Path is the
	// caller's PATH.
	Env  []string
	Path string
}

// Passes reports whether a variable of the caller's environment goes along: the
// terminal and the way to the net; and where the language and the time zone are those
// of the same system, these.
func Passes(name string, same bool) bool {
	switch name {
	case "TERM", "COLORTERM", "NO_COLOR":
		return true
	case "LANG", "LANGUAGE", "TZ":
		return same
	}
	if strings.HasPrefix(name, "LC_") {
		return same
	}
	return slices.Contains([]string{"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"}, strings.ToLower(name))
}

// self makes the program the caller, or root. Root who calls on / is both.
func (r Rootfs) self(s *specs.Spec) {
	p := r.Person
	s.Process.Env = append([]string{"PATH=" + Path}, p.Env...)
	own := p.Self || p.UID == 0 && r.Path == "/"
	if p.Home != "" && (own || p.Visible != "") {
		s.Process.Env = append(s.Process.Env, "HOME="+p.Home)
	}
	if own && r.Path == "/" && p.Path != "" {
		s.Process.Env[0] = "PATH=" + p.Path
	}
	if own && p.Name != "" {
		s.Process.Env = append(s.Process.Env, "USER="+p.Name, "LOGNAME="+p.Name)
	}
	if p.Everyone {
		all := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: math.MaxUint32}}
		s.Linux.UIDMappings, s.Linux.GIDMappings = all, all
	}
	if !p.Self {
		s.Process.Capabilities = usualCapabilities()
		return
	}
	s.Process.User = specs.User{UID: p.UID, GID: p.GID, Umask: p.Umask}
	s.Process.Capabilities = &specs.LinuxCapabilities{}
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: p.UID, HostID: p.UID, Size: 1}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: p.GID, HostID: p.GID, Size: 1}}
	if r.ownNetwork() && !slices.Contains(r.Without, OptionalPorts) {
		s.Linux.Sysctl = map[string]string{lowPorts: "0"}
	}
}

// lowPorts is the first port that needs no privilege: a program that is not root
// serves on port 80 too, in a network that is the container's alone.
const lowPorts = "net.ipv4.ip_unprivileged_port_start"

// OptionalPorts is Optional's answer for it.
const OptionalPorts = "linux.sysctl." + lowPorts

// homes are the mounts that take the caller's home out of sight, or put it there.
func (r Rootfs) homes() (list []specs.Mount) {
	p, whole := r.Person, r.Path == "/"
	var empty []string
	for _, home := range p.Homes {
		if p.Visible == "" && (whole || home == p.Home && p.Self) {
			empty = append(empty, home)
		}
	}
	if whole && !p.Self && !slices.Contains(p.Homes, "/root") { // somebody else's
		empty = append(empty, "/root")
	}
	slices.Sort(empty) // one may lie in another
	for _, home := range empty {
		list = append(list, private(home))
	}
	inMemory := Within(p.Home, "/tmp") || Within(p.Home, "/run") // of the container's own
	if p.Visible == "rw" || p.Visible == "ro" && (!whole || !r.ReadOnly || inMemory) {
		list = append(list, bind(p.Home, p.Home, []string{p.Visible}))
	}
	return list
}

// cover masks keys and tokens, but not where a volume is.
func (r Rootfs) cover(s *specs.Spec) {
	for _, key := range r.Person.Keys {
		if !slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool { return path.Clean(m.Destination) == key }) {
			s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, key)
		}
	}
}

// held are the mounts that keep keys where they are found in a directory that the program
// may write: the directories between, and the links, are mounted on themselves. What is no
// mount can be renamed or removed, and the next container would have the keys by a name
// that is not covered.
func (r Rootfs) held(top string) (list []specs.Mount) {
	for _, dir := range r.above(top) {
		list = append(list, bind(dir, dir, nil))
	}
	for _, link := range r.Person.Links {
		if r.holds(top, link) {
			list = append(list, bind(link, link, []string{"src-nofollow", "dest-nofollow"}))
		}
	}
	return list
}

// holds reports whether a place is one of the directory top, and not of the current
// directory in it, which is a mount of its own.
func (r Rootfs) holds(top, p string) bool {
	return Within(p, top) && p != top && (r.Here == "" || top == r.Here || !Within(p, r.Here))
}

// above are the directories between one that the program may write and keys in it, or
// links to keys.
func (r Rootfs) above(top string) (list []string) {
	for _, key := range slices.Concat(r.Person.Keys, r.Person.Links) {
		if !Within(key, top) || key == top {
			continue
		}
		for dir := path.Dir(key); dir != top; dir = path.Dir(dir) {
			if r.holds(top, dir) && !slices.Contains(list, dir) {
				list = append(list, dir)
			}
		}
	}
	slices.Sort(list)
	return list
}

// private is an empty directory in memory, whose owner is who makes it.
func private(dir string) specs.Mount {
	return specs.Mount{Destination: dir, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=0700"}}
}

// Within reports whether a clean absolute path is dir or lies below it.
func Within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// Seen says what a container sees of the host. A directory that it does not see by
// a name of its own is empty.
type Seen struct {
	// Whole: its root is the host's.
	Whole bool
	// Here is the current directory, Home the home.
	Here, Home Dir
	// Private: there is an empty directory in the home's place.
	Private bool
}

// Dir is a directory of the host: where it really is, and its name in the
// container.
type Dir struct{ Real, Name string }

// Covers are the paths in the container of keys, of which real is where each really
// is on the host: all those by which it would see them. One directory may be seen by
// its name, by that of the home, and by where it is. A place that the current directory
// is or lies in was asked for.
func (s Seen) Covers(real []string) []string {
	var list []string
	for _, p := range real {
		if s.Here.Real != "" && Within(s.Here.Real, p) {
			continue
		}
		for _, at := range s.sees(p) {
			if !slices.Contains(list, at) {
				list = append(list, at)
			}
		}
	}
	return list
}

// sees are the names in the container of what really is at p.
func (s Seen) sees(p string) (list []string) {
	if s.Here.has(p) {
		list = append(list, path.Join(s.Here.Name, p[len(s.Here.Real):]))
	}
	if s.Home.has(p) && s.Private {
		return list
	}
	if s.Home.has(p) && (s.Whole || len(list) == 0) {
		list = append(list, path.Join(s.Home.Name, p[len(s.Home.Real):]))
	}
	if s.Whole {
		list = append(list, p)
	}
	return list
}

// has reports whether something lies below the directory.
func (d Dir) has(p string) bool { return d.Real != "" && p != d.Real && Within(p, d.Real) }
