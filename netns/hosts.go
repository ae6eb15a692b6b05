package netns

import (
	"net/netip"
	"strings"
)

// HostGateway is the word that --add-host takes for the host's address.
const HostGateway = "host-gateway"

// HostName is the name by which a container finds the host.
const HostName = "host.containers.internal"

// HostEntry is a parsed --add-host.
type HostEntry struct {
	Name string
	// Address is zero when Gateway is true.
	Address netip.Addr
	// Gateway stands for the address that reaches the host.
	Gateway bool
}

// ParseAddHost reads the value of --add-host: NAME:IP or NAME:host-gateway. An
// IPv6 address may stand in brackets.
func ParseAddHost(s string) (HostEntry, error) {
	name, value, _ := strings.Cut(s, ":")
	if !hostName(name) {
		return HostEntry{}, errorf("want NAME:IP or NAME:host-gateway", "--add-host %q", s)
	}
	if value == HostGateway {
		return HostEntry{Name: name, Gateway: true}, nil
	}
	if inner, ok := strings.CutPrefix(value, "["); ok && strings.HasSuffix(inner, "]") {
		value = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(value)
	if err != nil || a.Zone() != "" {
		return HostEntry{}, errorf("want NAME:IP or NAME:host-gateway", "--add-host %q", s)
	}
	return HostEntry{Name: name, Address: a.Unmap()}, nil
}

// hostName accepts what cannot break out of a line of /etc/hosts.
func hostName(s string) bool {
	ok := func(r rune) bool {
		return r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	return s != "" && len(s) <= 253 && strings.IndexFunc(s, func(r rune) bool { return !ok(r) }) < 0
}

// HostsInput is what a container's /etc/hosts depends on.
type HostsInput struct {
	// Hostname is the container's; empty when it has none of its own.
	Hostname string
	// Addresses are the container's own, possibly none.
	Addresses []netip.Addr
	// Host is the address that reaches the host (Result.Host); zero when
	// nothing does.
	Host netip.Addr
	// Extra holds --add-host, in order.
	Extra []HostEntry
	// HostFile is the host's /etc/hosts for a container that shares the
	// host's network: its text is kept and added to. Empty otherwise.
	HostFile string
}

// Hosts is the text of the container's /etc/hosts. The entries of --add-host
// come before ours, since the first match wins.
func Hosts(in HostsInput) (string, error) {
	var b strings.Builder
	for _, e := range in.Extra {
		a, err := in.resolve(e)
		if err != nil {
			return "", err
		}
		writeHost(&b, a, e.Name)
	}
	if in.HostFile != "" {
		return b.String() + in.HostFile, nil
	}
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	in.writeSelf(&b)
	if in.Host.IsValid() {
		writeHost(&b, in.Host, HostName+" host.docker.internal")
	}
	return b.String(), nil
}

func (in HostsInput) resolve(e HostEntry) (netip.Addr, error) {
	if !e.Gateway {
		return e.Address, nil
	}
	if !in.Host.IsValid() {
		err := errorf("no address of the host can be reached", "--add-host %s:%s", e.Name, HostGateway)
		err.Hint = "host-gateway needs --net pasta or slirp4netns, and a host with a network"
		return netip.Addr{}, err
	}
	return in.Host, nil
}

func (in HostsInput) writeSelf(b *strings.Builder) {
	if !hostName(in.Hostname) {
		return
	}
	own := in.Addresses
	if len(own) == 0 {
		own = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 1, 1})}
	}
	for _, a := range own {
		writeHost(b, a, in.Hostname)
	}
}

func writeHost(b *strings.Builder, a netip.Addr, names string) {
	b.WriteString(a.String() + "\t" + names + "\n")
}
