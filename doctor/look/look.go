// Package look measures what package doctor judges. It changes nothing on the host but
// for what the container of its test leaves for a moment: a directory in the state root.
package look

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/doctor"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/proc/siblings"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/userns"
	"github.com/homerun-oci/homerun/userns/privilege"
)

// Looker says where to look. It is for one goroutine.
type Looker struct {
	// Homerun is the path of the command, StateRoot that of --root; empty for the
	// user's own.
	Homerun, StateRoot string
	// Getenv is os.Getenv.
	Getenv func(string) string
	// Files is the directory in which the host's files lie: /, but in tests.
	Files string
	// Self starts this program again, as what Attempt is for, with the namespaces of
	// a container.
	Self []string
}

// Look measures everything. Its error is that of a host where nothing can be told,
// as /proc is not there, or of a name service that does not answer.
func (l *Looker) Look(ctx context.Context) (*doctor.Host, error) {
	p, err := probe.New([3]int{0, 1, 2})
	if err != nil {
		return nil, err
	}
	if err := p.Measure(ctx, &host.Needs{Subordinate: "default", Cgroup: "default"}); err != nil {
		return nil, err
	}
	h := &doctor.Host{Facts: p.Facts, Homerun: l.Homerun, Release: release(), Packages: l.packages(ctx)}
	if d := host.Delegation(live.ProbeDelegation(*h.Facts.Cgroup)); d != (host.Delegation{}) {
		h.Facts.Cgroup.Delegation = &d
	}
	h.Filtered = strings.Contains(l.read("/proc/self/status"), "\nSeccomp:\t2")
	h.SELinux = strings.TrimSpace(l.read("/sys/fs/selinux/enforce")) == "1"
	h.Memfd = memfd()
	h.Attempt, h.Features = l.attempt(ctx)
	probe.ExplainUserNamespaces(&h.Facts.Kernel)
	if h.Attempt == (doctor.Attempt{}) {
		h.Facts.Kernel.UserNamespaces = true
	}
	s := h.Facts.Subordinate
	h.NewUIDMap, h.NewGIDMap = l.setter(userns.UID, s.NewUIDMap), l.setter(userns.GID, s.NewGIDMap)
	h.IDFiles = map[userns.Kind]string{userns.UID: l.opens("/etc/subuid", unix.O_RDONLY), userns.GID: l.opens("/etc/subgid", unix.O_RDONLY)}
	h.Shared = l.shared(h.Facts)
	h.Session = l.session(h.Facts)
	h.Cgroups = l.cgroups(h.Facts)
	h.Manager = l.manager(ctx, h.Facts)
	h.Network = l.network(ctx)
	h.Helpers = l.helpers("homerun-net", "homerun-seccomp", "homerun-log")
	h.Root = l.root()
	l.features(h)
	return h, nil
}

func (l *Looker) path(name string) string { return filepath.Join(l.Files, name) }

// read is a small file's text; empty where it cannot be read.
func (l *Looker) read(name string) string {
	text, err := os.ReadFile(l.path(name))
	if err != nil {
		return ""
	}
	return string(text)
}

func (l *Looker) exists(name string) bool {
	_, err := os.Lstat(l.path(name))
	return err == nil
}

// opens is the errno of opening a file, as how says.
func (l *Looker) opens(path string, how int) string {
	fd, err := unix.Open(l.path(path), how|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return name(err)
}

// shared finds who else is granted the caller's ids, where the files say it.
func (l *Looker) shared(f *host.Facts) map[userns.Kind]doctor.Shared {
	found := map[userns.Kind]doctor.Shared{}
	owners := []string{f.Subordinate.Login, strconv.Itoa(f.Process.UID)}
	for kind, file := range map[userns.Kind]string{userns.UID: "/etc/subuid", userns.GID: "/etc/subgid"} {
		text := []byte(l.read(file))
		if own, other, ok := userns.Overlap(text, owners); ok && f.Subordinate.Source == "" {
			free, _ := userns.Survey(text, owners, nil)
			found[kind] = doctor.Shared{Own: own, Other: other, Free: free}
		}
	}
	return found
}

// closed finds a program that lost its x bits.
func (l *Looker) closed(program string) string {
	for _, dir := range []string{"/usr/bin", "/bin"} {
		at := path.Join(dir, program)
		if st, err := os.Stat(l.path(at)); err == nil && st.Mode().IsRegular() {
			return at
		}
	}
	return ""
}

// aside is the first name that is free for what is at path.
func aside(path string) string {
	for n := 1; ; n++ {
		to := path + ".not-mine"
		if n > 1 {
			to += "." + strconv.Itoa(n)
		}
		if unix.Access(to, unix.F_OK) != nil {
			return to
		}
	}
}

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "of no known release"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// name is an errno's; empty for none.
func name(err error) string {
	if err == nil {
		return ""
	}
	if errno, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func (l *Looker) packages(ctx context.Context) doctor.Packages {
	var p doctor.Packages
	for _, manager := range []string{"apt-get", "dnf", "zypper", "pacman", "apk"} {
		if l.program(manager) != "" {
			p.Manager = manager
			break
		}
	}
	for _, pkg := range []string{"uidmap", "shadow-utils", "passt", "slirp4netns", "util-linux", "dbus-user-session"} {
		switch {
		case p.Manager == "apt-get" && l.exists("/var/lib/dpkg/info/"+pkg+".list"),
			p.Manager == "dnf" && firstLine(ctx, l.program("rpm"), "-q", "--qf", "there", pkg) == "there":
			p.Installed = append(p.Installed, pkg)
		}
	}
	return p
}

// program finds one of the host's, where only root writes.
func (l *Looker) program(name string) string {
	for _, dir := range []string{"/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/usr/local/sbin", "/sbin", "/run/wrappers/bin",
		"/run/current-system/sw/bin", "/run/current-system/profile/bin"} {
		at := path.Join(dir, name)
		if siblings.IsProgram(l.path(at)) {
			return at
		}
	}
	return ""
}

func (l *Looker) setter(kind userns.Kind, program string) doctor.Setter {
	if program == "" {
		return doctor.Setter{Closed: l.closed("new" + string(kind) + "map")}
	}
	return doctor.Setter{Gains: privilege.Gains(l.path(program), kind), Nosuid: privilege.IsNosuid(l.path(program)), Mount: l.mountOf(program)}
}

// mountOf is where the file system is mounted that a path is on.
func (l *Looker) mountOf(name string) string {
	at := "/"
	for line := range strings.Lines(l.read("/proc/self/mountinfo")) {
		if f := strings.Fields(line); len(f) > 4 && len(f[4]) > len(at) && strings.HasPrefix(name+"/", f[4]+"/") {
			at = f[4]
		}
	}
	return at
}

func (l *Looker) session(f *host.Facts) doctor.Session {
	uid := strconv.Itoa(f.UserNamespace.OwnerUID)
	s := doctor.Session{Given: l.Getenv("XDG_RUNTIME_DIR"), Usual: "/run/user/" + uid}
	s.GivenErrno, s.UsualErrno = l.own(s.Given, f.Process.UID), l.own(s.Usual, f.Process.UID)
	s.Linger = f.Subordinate.Login != "" && l.exists("/var/lib/systemd/linger/"+f.Subordinate.Login)
	s.Logind = l.exists("/run/systemd/seats") && l.exists("/run/systemd/system")
	return s
}

// own is the errno of using a directory: EPERM where it is somebody else's.
func (l *Looker) own(dir string, uid int) string {
	var st unix.Stat_t
	switch err := unix.Stat(l.path(dir), &st); {
	case err != nil:
		return name(err)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return "ENOTDIR"
	case int(st.Uid) != uid:
		return "EPERM"
	}
	return ""
}

func (l *Looker) cgroups(f *host.Facts) doctor.Cgroups {
	c := doctor.Cgroups{}
	if !f.Cgroup.Unified {
		return c
	}
	uid := strconv.Itoa(f.UserNamespace.OwnerUID)
	service := "user@" + uid + ".service"
	at := "/user.slice/user-" + uid + ".slice/" + service
	mount := f.Cgroup.MountPoint
	c.Kernel = strings.Fields(l.read(mount + "/cgroup.controllers"))
	switch d := f.Cgroup.Delegation; {
	case f.Process.UID == 0 && f.UserNamespace.Initial:
		c.Path = "/"
	case l.exists(mount + at):
		c.Path, c.Service = at, service
	case d != nil && d.Unit != "":
		c.Path = d.Unit
	case d != nil:
		c.Path = d.Top
	}
	if c.Path != "" {
		c.Delegated = strings.Fields(l.read(mount + c.Path + "/cgroup.controllers"))
	}
	return c
}

func (l *Looker) helpers(names ...string) map[string]doctor.Helper {
	found := map[string]doctor.Helper{}
	for _, n := range names {
		var h doctor.Helper
		h.Path, h.Places = siblings.Find(l.Homerun, n)
		if h.Path == "" {
			h.Elsewhere = l.elsewhere(n)
		}
		found[n] = h
	}
	return found
}

// elsewhere finds a helper where it may have been installed for another homerun.
func (l *Looker) elsewhere(name string) string {
	home := l.Getenv("HOME")
	dirs := []string{"/usr/local/libexec/homerun", "/usr/libexec/homerun", "/usr/local/bin", "/usr/bin"}
	if filepath.IsAbs(home) {
		dirs = slices.Concat([]string{home + "/.local/libexec/homerun", home + "/.local/bin"}, dirs)
	}
	for _, dir := range dirs {
		if siblings.IsProgram(l.path(dir + "/" + name)) {
			return dir + "/" + name
		}
	}
	return ""
}

// root looks at the state root.
func (l *Looker) root() doctor.Root {
	r := doctor.Root{Path: l.StateRoot, Given: l.StateRoot != ""}
	if r.Path == "" {
		r.Path = store.DefaultRoot(l.Getenv)
	}
	var st unix.Stat_t
	above := r.Path
	switch err := unix.Lstat(r.Path, &st); err {
	case nil:
		r.There, r.Owner, r.Mode, r.Directory = true, int(st.Uid), st.Mode&0o777, st.Mode&unix.S_IFMT == unix.S_IFDIR
		r.Aside = aside(r.Path)
	case unix.ENOENT:
		for above = path.Dir(above); above != "/" && unix.Access(above, unix.F_OK) == unix.ENOENT; {
			above = path.Dir(above)
		}
	default:
		r.Errno = name(err)
		return r
	}
	r.Errno = name(unix.Faccessat(unix.AT_FDCWD, above, unix.W_OK|unix.X_OK, unix.AT_EACCESS))
	r.Mount = l.mountOf(above)
	var fs unix.Statfs_t
	if unix.Statfs(above, &fs) == nil && fs.Blocks > 0 {
		r.Full = fs.Bavail < 4 || fs.Files > 0 && fs.Ffree == 0
	}
	return r
}
