package probe

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/host"
)

// askTimeout bounds each question to the name service: a directory server that
// is down must not hang the start of a container for long.
const askTimeout = 10 * time.Second

// askNameService is the cold path for hosts whose users or subordinate ids
// live in a directory (sssd): getsubids(1), of shadow 4.9 and later, asks
// where /etc/nsswitch.conf points (podman#25041, podman#26904). It starts
// processes, so it is only called when the files have nothing, and does
// nothing where nsswitch.conf names no other source than files.
func (p *Prober) askNameService(ctx context.Context) error {
	text, err := p.readFile("/etc/nsswitch.conf")
	if err != nil {
		return nil
	}
	source := otherSource(text, "subid")
	if source == "" {
		return nil
	}
	s := p.Facts.Subordinate
	if s.Login == "" {
		s.Login = askLogin(ctx, p.Facts.Process.UID)
	}
	program := helper("getsubids")
	if s.Login == "" || program == "" {
		return nil
	}
	if s.UIDs, err = askRanges(ctx, program, s.Login); err != nil {
		return err
	}
	if s.GIDs, err = askRanges(ctx, program, "-g", s.Login); err != nil {
		return err
	}
	s.Source = "getsubids (nsswitch: " + source + ")"
	return nil
}

// otherSource returns the first source that nsswitch.conf(5) names for a
// database if it is not "files"; shadow takes only the first.
func otherSource(text []byte, database string) string {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		text = rest
		line, _, _ = bytes.Cut(line, []byte{'#'})
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok || string(bytes.TrimSpace(name)) != database {
			continue
		}
		words := bytes.Fields(value)
		if len(words) == 0 || string(words[0]) == "files" {
			return ""
		}
		return string(words[0])
	}
	return ""
}

// askLogin asks getent(1) for the name of a user who is not in /etc/passwd.
func askLogin(ctx context.Context, uid int) string {
	program := helper("getent")
	if program == "" {
		return ""
	}
	out, err := ask(ctx, program, "passwd", strconv.Itoa(uid))
	if err != nil {
		return ""
	}
	names := loginNames(out, uint32(uid))
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// askRanges runs getsubids; no ranges is not an error but exit status 1.
func askRanges(ctx context.Context, program string, args ...string) ([]host.Range, error) {
	out, err := ask(ctx, program, args...)
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		return nil, fmt.Errorf("probe: %s: %w", program, err)
	}
	return parseGetsubids(out), nil
}

// parseGetsubids reads lines like "0: alice 100000 65536".
func parseGetsubids(out []byte) []host.Range {
	var ranges []host.Range
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Fields(line)
		if len(f) != 4 {
			continue
		}
		start, ok1 := number([]byte(f[2]))
		size, ok2 := number([]byte(f[3]))
		if ok1 && ok2 && size > 0 {
			ranges = append(ranges, host.Range{Start: start, Size: size})
		}
	}
	return ranges
}

// ask runs a program of the host with an empty environment and no input.
func ask(ctx context.Context, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Env = []string{}
	c.Dir = "/"
	return c.Output()
}
