package install

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/userns"
	"github.com/homerun-oci/homerun/userns/privilege"
)

// explain makes an error of a helper's failure: what it was asked, what it
// said, how it ended, and what is known about why.
func explain(p *process, cause error, facts *host.Facts) error {
	why := strings.Join(p.args, " ")
	if said := p.complaint(); said != "" {
		why += ": " + said
	}
	return &fault.Error{
		Code:  userns.CodeHelper,
		Place: fmt.Sprintf("linux.%sMappings", p.m.Kind),
		Why:   why + ": " + cause.Error(),
		Hint:  strings.Join(hints(p, facts), "\n"),
		Cause: cause,
	}
}

// hints lists what is wrong with the helper, or else what it went by.
func hints(p *process, facts *host.Facts) []string {
	var found []string
	path, kind := p.m.Program, p.m.Kind
	if !privilege.Gains(path, kind) {
		found = append(found, userns.HintNotSetuid(kind, path))
	}
	if privilege.IsNosuid(path) {
		found = append(found, userns.HintNosuid(path))
	}
	if nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && nnp == 1 {
		found = append(found, userns.HintNoNewPrivileges())
	}
	if strings.Contains(string(p.said), "owned by a different user") {
		found = append(found, userns.HintOwner(unix.Getgid()))
	}
	return append(found, grantHints(kind, facts)...)
}

// grantHints names the lines that grant ids to the caller, or says that none does
// and how to get one.
func grantHints(kind userns.Kind, facts *host.Facts) []string {
	granted := userns.Granted(facts)
	if granted.Source != "" {
		return []string{"subordinate ids come from " + granted.Source}
	}
	path := "/etc/sub" + string(kind)
	text, err := os.ReadFile(path)
	if err != nil {
		return []string{err.Error()}
	}
	owners := []string{granted.Login, strconv.Itoa(facts.Process.UID)}
	var lines []string
	for _, g := range userns.Grants(text, owners) {
		lines = append(lines, fmt.Sprintf("line %d of %s grants %s ids %d-%d",
			g.Line, path, g.Owner, g.Range.Start, uint64(g.Range.Start)+uint64(g.Range.Size)-1))
	}
	if len(lines) == 0 {
		return []string{path + " grants nothing: " + userns.HintGrant(kind, facts)}
	}
	return lines
}
