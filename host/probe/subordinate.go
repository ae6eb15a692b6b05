package probe

import (
	"bytes"
	"context"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/userns"
	"github.com/homerun-oci/homerun/userns/privilege"
)

// subordinate finds the ids that the caller may map and the helpers that map
// them.
func (p *Prober) subordinate(ctx context.Context) error {
	s := &host.Subordinate{}
	p.Facts.Subordinate = s
	s.NewUIDMap = helper("newuidmap")
	s.NewGIDMap = helper("newgidmap")
	owners := p.owners()
	s.Login = owners[0]
	s.UIDs, s.FreeUID, s.UIDLine = p.ranges("/etc", "subuid", owners)
	s.GIDs, s.FreeGID, s.GIDLine = p.ranges("/etc", "subgid", owners)
	if len(s.UIDs) == 0 && len(s.GIDs) == 0 {
		if err := p.askNameService(ctx); err != nil || s.Source == "" {
			return err
		}
	}
	if s.Login == "" {
		s.Login = askLogin(ctx, p.Facts.Process.UID)
	}
	s.UIDTrouble, s.GIDTrouble = p.trouble(s.NewUIDMap, userns.UID), p.trouble(s.NewGIDMap, userns.GID)
	return nil
}

// trouble finds what keeps a helper from its privilege, beside no_new_privs.
// Who has the privilege needs no helper.
func (p *Prober) trouble(path string, kind userns.Kind) host.Trouble {
	own := unix.CAP_SETUID
	if kind == userns.GID {
		own = unix.CAP_SETGID
	}
	bounded := func(c int) bool {
		n, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		return err == nil && n == 0
	}
	switch {
	case path == "" || p.Facts.Process.Capabilities&(1<<own) != 0 || !privilege.Gains(path, kind):
	case privilege.IsNosuid(path):
		return host.TroubleNosuid
	case bounded(own) || privilege.IsSetuid(path) && bounded(unix.CAP_SYS_ADMIN):
		return host.TroubleBounding
	case p.Facts.Subordinate.Login == "":
		return host.TroubleNobody
	}
	return ""
}

// owners is what the caller may be called in /etc/subuid: the login name first
// ("" if there is none), then the names that share its uid, which newuidmap
// takes too, then the uid as a number.
func (p *Prober) owners() []string {
	uid := uint32(p.Facts.Process.UID)
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

// ranges reads subuid or subgid in the directory etc, and for who has few or
// none in it what a hint needs. A missing or unreadable file grants nothing.
func (p *Prober) ranges(etc, name string, owners []string) (list []host.Range, free uint32, line int) {
	text, err := p.readFile(etc + "/" + name)
	if err == nil {
		if grants := userns.Grants(text, owners); len(grants) > 0 {
			list = userns.Ranges(grants)
		}
		if total(list) >= userns.UsualSize {
			return list, 0, 0
		}
	} else if err != unix.ENOENT {
		return nil, 0, 0
	}
	text = slices.Clone(text) // it lies where the next file is read to
	taken, known := p.taken(etc, name)
	if free, line = userns.Survey(text, owners, taken); !known {
		free = 0
	}
	return list, free, line
}

func total(list []host.Range) (ids uint64) {
	for _, r := range list {
		ids += uint64(r.Size)
	}
	return ids
}

// taken lists the ids of users or of groups that the host has, which a grant in
// the file name would give away; known is false when that cannot be told.
func (p *Prober) taken(etc, name string) (ids []uint32, known bool) {
	passwd, err := p.readFile(etc + "/passwd")
	if name == "subuid" {
		return idsIn(passwd, 2), err == nil || err == unix.ENOENT
	}
	ids = idsIn(passwd, 3)
	group, errGroup := p.readFile(etc + "/group")
	return append(ids, idsIn(group, 2)...), (err == nil || err == unix.ENOENT) && (errGroup == nil || errGroup == unix.ENOENT)
}

// idsIn reads the number in a field, counted from 0, of each line that has one
// more: passwd(5), group(5).
func idsIn(text []byte, field int) (ids []uint32) {
	for line := range bytes.Lines(text) {
		if f := bytes.SplitN(line, []byte{':'}, field+2); len(f) == field+2 {
			if n, ok := number(f[field]); ok {
				ids = append(ids, n)
			}
		}
	}
	return ids
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
