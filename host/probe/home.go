package probe

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/process"
)

// maxPasswd bounds what is read of the container's /etc/passwd, which may be
// anything.
const maxPasswd = 1 << 20

// home finds the home directory of the process's user in the rootfs's
// /etc/passwd, when config.json sets none. That of a bind mount over it counts
// for nothing.
func (p *prober) home(root int) {
	spec := p.Spec.Process
	if spec == nil || process.HasHome(spec.Env) {
		return
	}
	if text := readInRoot(root, "etc/passwd", maxPasswd); text != nil {
		p.facts.Home = homeOf(text, spec.User.UID)
	}
}

// readInRoot reads a regular file of a hostile tree; nil when it is anything
// else, missing, or larger than limit. It is opened as O_PATH first, and again
// through that descriptor once it is known to be a regular file: opening a FIFO
// may wake its writer, and opening a device may do anything. The kernel keeps
// symbolic links inside the tree.
func readInRoot(root int, path string, limit int) []byte {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	pinned, err := unix.Openat2(root, path, &how)
	if err != nil {
		return nil
	}
	defer unix.Close(pinned)
	var st unix.Stat_t
	if unix.Fstat(pinned, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > int64(limit) {
		return nil
	}
	text, err := readInto(make([]byte, 4096), "/proc/self/fd/"+strconv.Itoa(pinned))
	if err != nil || len(text) > limit {
		return nil
	}
	return text
}

// HomeOf finds the home directory of a uid in a text like /etc/passwd; "" when
// it has none that could be one.
func HomeOf(passwd []byte, uid uint32) string { return homeOf(passwd, uid) }

// homeOf reads passwd(5) for a uid's home; the first line counts, as for
// getpwuid(3).
func homeOf(passwd []byte, uid uint32) string {
	for len(passwd) > 0 {
		var line []byte
		line, passwd, _ = bytes.Cut(passwd, []byte{'\n'})
		f := bytes.SplitN(line, []byte{':'}, 7)
		if len(f) < 6 {
			continue
		}
		if n, ok := number(f[2]); ok && n == uid && len(f[0]) > 0 && f[0][0] != '+' && f[0][0] != '-' {
			return safeHome(string(f[5]))
		}
	}
	return ""
}

// safeHome refuses what cannot be an environment entry or is no directory's
// name.
func safeHome(home string) string {
	if !strings.HasPrefix(home, "/") || strings.IndexByte(home, 0) >= 0 {
		return ""
	}
	return home
}
