package netns

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
)

// Protocol is a transport whose ports can be published.
type Protocol string

// The protocols.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Forward publishes Count consecutive ports of the container on the host.
type Forward struct {
	// HostIP is the host's address that is listened on; the zero Addr means
	// all of them, IPv4 and IPv6.
	HostIP netip.Addr `json:"hostIP,omitzero"`
	// HostPort and ContainerPort are the first port on either side.
	HostPort      uint16 `json:"hostPort"`
	ContainerPort uint16 `json:"containerPort"`
	// Count is the number of ports, at least 1.
	Count    uint16   `json:"count"`
	Protocol Protocol `json:"protocol"`
}

const hintHostPort = "name the host's port: -p 8080:80 (homerun picks no random one)"

// ParseForward reads the value of -p: [IP:]HOST[-HOST]:CTR[-CTR][/tcp|udp].
// An IPv6 address stands in brackets: [::1]:8080:80.
func ParseForward(s string) (Forward, error) {
	f := Forward{Protocol: TCP}
	rest, protocol, named := strings.Cut(s, "/")
	if named {
		f.Protocol = Protocol(protocol)
	}
	if f.Protocol != TCP && f.Protocol != UDP {
		return f, errorf(fmt.Sprintf("unknown protocol %q, want tcp or udp", protocol), "-p %q", s)
	}
	ip, host, container, err := splitForward(s, rest)
	if err != nil {
		return f, err
	}
	if f.HostIP, err = forwardIP(s, ip); err != nil {
		return f, err
	}
	return f, f.setPorts(s, host, container)
}

// splitForward cuts [IP:]HOST:CTR apart; ip is empty when there is none.
func splitForward(s, rest string) (ip, host, container string, err error) {
	if after, ok := strings.CutPrefix(rest, "["); ok {
		ip, rest, ok = strings.Cut(after, "]:")
		if !ok || ip == "" {
			return "", "", "", errorf("an address in brackets is followed by :HOST:CTR", "-p %q", s)
		}
	}
	parts := strings.Split(rest, ":")
	if ip == "" && len(parts) == 3 {
		ip, parts = parts[0], parts[1:]
		if ip == "" {
			return "", "", "", errorf("empty address", "-p %q", s)
		}
	}
	switch {
	case len(parts) == 1, len(parts) == 2 && parts[0] == "":
		return "", "", "", &fault.Error{What: fmt.Sprintf("-p %q", s), Why: "no host port", Hint: hintHostPort}
	case len(parts) > 2:
		e := errorf("too many colons", "-p %q", s)
		e.Hint = "an IPv6 address goes into brackets: -p '[::1]:8080:80'"
		return "", "", "", e
	}
	return ip, parts[0], parts[1], nil
}

func forwardIP(s, ip string) (netip.Addr, error) {
	if ip == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		e := errorf(fmt.Sprintf("%q is not an IP address", ip), "-p %q", s)
		if ip == "localhost" {
			e.Hint = "say 127.0.0.1 or [::1]"
		}
		return a, e
	}
	if a.Zone() != "" {
		return a, errorf("an address with a zone cannot be published on", "-p %q", s)
	}
	return a.Unmap(), nil
}

func (f *Forward) setPorts(s, host, container string) error {
	first, count, ok := portRange(host)
	if !ok {
		return badPort(s, host)
	}
	inner, innerCount, ok := portRange(container)
	if !ok {
		return badPort(s, container)
	}
	if count != innerCount {
		return errorf(fmt.Sprintf("%d host ports for %d container ports", count, innerCount), "-p %q", s)
	}
	f.HostPort, f.ContainerPort, f.Count = first, inner, count
	return nil
}

func badPort(s, port string) error {
	return errorf(fmt.Sprintf("%q is not a port (1 to 65535) or a range of them", port), "-p %q", s)
}

// portRange reads N or N-M with 1 <= N <= M <= 65535.
func portRange(s string) (first, count uint16, ok bool) {
	low, high, ranged := strings.Cut(s, "-")
	if !ranged {
		high = low
	}
	a, aOK := portNumber(low)
	b, bOK := portNumber(high)
	if !aOK || !bOK || b < a {
		return 0, 0, false
	}
	return a, b - a + 1, true
}

// portNumber reads digits only: no sign, no more than five of them.
func portNumber(s string) (uint16, bool) {
	if len(s) > 5 || strings.HasPrefix(s, "+") {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0
}

// String is the forward as -p spells it, with its protocol.
func (f Forward) String() string {
	return fmt.Sprintf("%s%s:%s/%s", f.prefix(), ports(f.HostPort, f.Count),
		ports(f.ContainerPort, f.Count), f.Protocol)
}

func (f Forward) prefix() string {
	switch {
	case !f.HostIP.IsValid():
		return ""
	case f.HostIP.Is6():
		return "[" + f.HostIP.String() + "]:"
	}
	return f.HostIP.String() + ":"
}

func ports(first, count uint16) string {
	if count <= 1 {
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, int(first)+int(count)-1)
}

// Check says what is wrong with a forward that did not come from
// ParseForward.
func (f Forward) Check() error {
	switch {
	case f.Protocol != TCP && f.Protocol != UDP:
		return errorf(fmt.Sprintf("unknown protocol %q, want tcp or udp", f.Protocol), "port %d", f.HostPort)
	case f.HostPort == 0, f.ContainerPort == 0, f.Count == 0:
		return errorf("port and count start at 1", "port %s", f)
	case int(f.HostPort)+int(f.Count) > 65536, int(f.ContainerPort)+int(f.Count) > 65536:
		return errorf("range ends above 65535", "port %s", f)
	case f.HostIP.Zone() != "", f.HostIP.Is4In6():
		return errorf("address has a zone or is an IPv4 one in IPv6 form", "port %s", f)
	}
	return nil
}

// Overlaps reports whether two forwards want the same port of the same host
// address.
func (f Forward) Overlaps(g Forward) bool {
	same := f.Protocol == g.Protocol && sameHost(f.HostIP, g.HostIP)
	return same && int(f.HostPort) < int(g.HostPort)+int(g.Count) &&
		int(g.HostPort) < int(f.HostPort)+int(f.Count)
}

// sameHost reports whether listening on a takes ports away from b.
func sameHost(a, b netip.Addr) bool {
	if !a.IsValid() || !b.IsValid() || a == b {
		return true
	}
	return a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
}

// CheckForwards checks each forward and that no two want the same port.
func CheckForwards(list []Forward) error {
	for i, f := range list {
		if err := f.Check(); err != nil {
			return err
		}
		for _, g := range list[:i] {
			if f.Overlaps(g) {
				return errorf(fmt.Sprintf("wants the same port as %s", g), "-p %s", f)
			}
		}
	}
	return nil
}
