package install

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/userns"
)

// explain makes an error of a helper's failure: what it was asked, what it
// said, how it ended, and what is known about why.
func explain(p *process, cause error, facts *host.Facts) error {
	text := fmt.Sprintf("linux.%sMappings: %s", p.m.Kind, strings.Join(p.args, " "))
	if said := p.complaint(); said != "" {
		text += ": " + said
	}
	return &userns.Error{
		Code: userns.CodeHelper,
		Text: text + ": " + cause.Error(),
		Hint: strings.Join(diagnose(p, facts), "\n"),
		Err:  cause,
	}
}

// diagnose lists what is wrong with the helper, or else what it went by.
func diagnose(p *process, facts *host.Facts) []string {
	var found []string
	path, kind := p.m.Program, p.m.Kind
	if !gainsPrivilege(path, kind) {
		found = append(found, userns.HintNotSetuid(kind, path))
	}
	if isNosuid(path) {
		found = append(found, userns.HintNosuid(path))
	}
	if nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && nnp == 1 {
		found = append(found, userns.HintNoNewPrivileges())
	}
	if strings.Contains(string(p.said), "owned by a different user") {
		found = append(found, userns.HintOwner(unix.Getgid()))
	}
	return append(found, grants(kind, facts)...)
}

// gainsPrivilege: setuid root, or with the file capability for the map.
func gainsPrivilege(path string, kind userns.Kind) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil && st.Mode&unix.S_ISUID != 0 && st.Uid == 0 {
		return true
	}
	var buf [64]byte
	n, err := unix.Getxattr(path, "security.capability", buf[:])
	return err == nil && permits(buf[:n], kind)
}

// permits reads a file's capabilities, struct vfs_cap_data of
// <linux/capability.h>: after the magic come the lower 32 permitted ones.
func permits(xattr []byte, kind userns.Kind) bool {
	if len(xattr) < 8 {
		return false
	}
	bit := unix.CAP_SETUID
	if kind == userns.GID {
		bit = unix.CAP_SETGID
	}
	return binary.LittleEndian.Uint32(xattr[4:])&(1<<bit) != 0
}

func isNosuid(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOSUID != 0
}

// grants names the lines that grant ids to the caller, or says that none does
// and how to get one.
func grants(kind userns.Kind, facts *host.Facts) []string {
	if facts.Subordinate.Source != "" {
		return []string{"subordinate ids come from " + facts.Subordinate.Source}
	}
	path := "/etc/sub" + string(kind)
	text, err := os.ReadFile(path)
	if err != nil {
		return []string{err.Error()}
	}
	owners := []string{facts.Subordinate.Login, strconv.Itoa(facts.Process.UID)}
	var lines []string
	for _, g := range userns.Grants(text, owners) {
		lines = append(lines, fmt.Sprintf("line %d of %s grants %s ids %d-%d",
			g.Line, path, g.Owner, g.Range.Start, uint64(g.Range.Start)+uint64(g.Range.Size)-1))
	}
	if len(lines) == 0 {
		return []string{path + " grants nothing: " + userns.HintGrant(kind, host.Mapping{}, facts)}
	}
	return lines
}
