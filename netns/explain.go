package netns

import (
	"fmt"
	"strings"

	"github.com/homerun-oci/homerun/fault"
)

// Turning what went wrong into one line and a hint. Drivers report on standard
// error in words that changed over the years; the table below knows those of
// pasta (2022 to 2026) and slirp4netns (0.4 to 1.3).

// The hints, each for one cause.
const (
	hintTunMode   = "let everybody open it: chmod 0666 /dev/net/tun, and for good a udev rule: KERNEL==\"tun\", MODE=\"0666\""
	hintTunModule = "load the tun module: modprobe tun, and for good: echo tun > /etc/modules-load.d/tun.conf"
	hintNoRoute   = "pasta takes its bearings from the host's default route: connect the host, or use --net slirp4netns"
	hintAppArmor  = "AppArmor keeps it from its namespaces: install the profile that comes with the package (passt, slirp4netns), or set kernel.apparmor_restrict_unprivileged_userns=0"
	hintRefused   = "the container's user namespace must belong to the user who runs homerun; inside another container allow user namespaces there"
	hintInstall   = "install passt (pasta) or slirp4netns with your distribution's package manager"
	hintBusy      = "another program or container listens there; `ss -ltnup` shows which"
	hintAddress   = "publish on an address that the host has (`ip address`), or leave the address out"
)

// symptom is a piece of a driver's message and what it means.
type symptom struct {
	text string
	code string
	hint string
}

// symptoms stand in the order in which they are looked for: the first match
// wins, so causes come before the consequences that are printed after them.
func symptoms() []symptom {
	return []symptom{
		{"Address already in use", PortBusy, hintBusy},
		{"Cannot assign requested address", PortAddress, hintAddress},
		{"Failed to bind any port", PortBusy, hintBusy},
		{"Failed to bind port", PortBusy, hintBusy},
		{"slirp_add_hostfwd failed", PortBusy, hintBusy},
		{"/dev/net/tun", NoTun, hintTunMode},
		{"tun socket", NoTun, hintTunMode},
		{"TUNSETIFF", NoTun, hintTunModule},
		{"External interface not usable", NoRoute, hintNoRoute},
		{"No external routable interface", NoRoute, hintNoRoute},
		{"No routable interface", NoRoute, hintNoRoute},
		{"user namespace", Refused, hintRefused},
		{"network namespace", Refused, hintRefused},
		{"CLONE_NEWUSER", Refused, hintRefused},
		{"CLONE_NEWNET", Refused, hintRefused},
		{"setns", Refused, hintRefused},
	}
}

// ExplainOutput is the error for a driver that ended without connecting the
// container. output is what it printed; appArmor says that the host restricts
// user namespaces by AppArmor.
func ExplainOutput(driver Mode, output string, appArmor bool) *fault.Error {
	lines := meaningful(output)
	for _, s := range symptoms() {
		if line, ok := lineWith(lines, s.text); ok {
			e := &fault.Error{What: string(driver), Why: line, Hint: s.hint, Code: s.code}
			if s.code == Refused && appArmor {
				e.Hint = hintAppArmor
			}
			return e
		}
	}
	last := "ended without a word"
	if len(lines) > 0 {
		last = lines[len(lines)-1]
	}
	return &fault.Error{What: string(driver), Why: last}
}

// meaningful drops the lines that say nothing about a failure.
func meaningful(output string) []string {
	noise := []string{"Failed to send", "WARNING:", "sent tapfd", "received tapfd", "Don't run as root", "Can't run AVX2"}
	var lines []string
next:
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(dropTime(line))
		for _, n := range noise {
			if strings.HasPrefix(line, n) {
				continue next
			}
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// dropTime takes off the "1700000000.1234: " that pasta puts before a line.
func dropTime(line string) string {
	before, after, found := strings.Cut(line, ": ")
	if found && strings.Trim(before, "0123456789.") == "" {
		return after
	}
	return line
}

func lineWith(lines []string, text string) (string, bool) {
	for _, l := range lines {
		if strings.Contains(l, text) {
			return l, true
		}
	}
	return "", false
}

// ExplainBind is the error for a port that cannot be bound on the host. errno
// is the symbolic name, text its words; unprivileged is the first port that a
// user may bind (net.ipv4.ip_unprivileged_port_start).
func ExplainBind(f Forward, port uint16, errno, text string, unprivileged int) *fault.Error {
	one := Forward{HostIP: f.HostIP, HostPort: port}
	e := errorf(text, "publish %s: port %s%d/%s", f, one.prefix(), port, f.Protocol)
	switch errno {
	case "EADDRINUSE":
		e.Code, e.Hint = PortBusy, hintBusy
	case "EADDRNOTAVAIL":
		e.Code, e.Hint = PortAddress, hintAddress
	case "EACCES":
		e.Code = PortPrivileged
		if int(port) < unprivileged {
			e.Hint = lowPortHint(port, unprivileged)
		}
	}
	return e
}

func lowPortHint(port uint16, unprivileged int) string {
	return fmt.Sprintf("users may bind ports from %d on: publish on one of those, or have root run sysctl -w net.ipv4.ip_unprivileged_port_start=%d", unprivileged, port)
}

// ExplainTun is the error for a /dev/net/tun that cannot be opened.
func ExplainTun(errno, text string) *fault.Error {
	e := &fault.Error{What: "network: /dev/net/tun", Why: text, Code: NoTun}
	switch errno {
	case "EACCES", "EPERM":
		e.Hint = hintTunMode
	case "ENOENT", "ENODEV", "ENXIO":
		e.Hint = hintTunModule
	}
	return e
}

// ExplainMissing is the error for drivers that are not installed.
func ExplainMissing(driver Mode, directories []string) *fault.Error {
	what := string(driver)
	if driver == Auto {
		what = "neither pasta nor slirp4netns"
	}
	verb := " is not installed in "
	if driver == Auto {
		verb = " is installed in "
	}
	return &fault.Error{What: "network", Why: what + verb + strings.Join(directories, ", "), Hint: hintInstall, Code: NotInstalled}
}

// ExplainFixed is the error for a port that an old pasta cannot take back.
func ExplainFixed(f Forward) *fault.Error {
	return &fault.Error{
		What: "remove port " + f.String(),
		Why:  "pasta published it when the container started",
		Hint: "taking ports back needs pasta of 2026-05-07 or newer, or a container started with --net slirp4netns",
	}
}
