// Package netns decides how a container is connected to the network when the
// caller has no root: it parses --net, -p, --dns and --add-host, writes the
// texts of resolv.conf and hosts, and defines what the main program and the
// homerun-net helper say to each other.
//
// Everything here is a pure function of its arguments. Package netns/client
// starts the helper and talks to it; the helper (cmd/homerun-net) runs pasta or
// slirp4netns. Only `run` of the command line connects a network: the OCI verbs
// never touch one, and a namespace that config.json names by path is left as it
// is.
package netns

import (
	"net/netip"
	"strconv"
	"strings"
)

// Mode is the way a container is connected.
type Mode string

// The modes, as --net spells them.
const (
	// Auto is pasta if it is installed, else slirp4netns.
	Auto Mode = "auto"
	// None is a network namespace with a loopback device only.
	None Mode = "none"
	// Host shares the runtime's network namespace.
	Host Mode = "host"
	// Pasta connects through pasta(1).
	Pasta Mode = "pasta"
	// Slirp4netns connects through slirp4netns(1).
	Slirp4netns Mode = "slirp4netns"
	// Join joins the network namespace at Network.Path.
	Join Mode = "ns"
)

// Network is a parsed --net. The zero value of a field means its default.
type Network struct {
	Mode Mode
	// Path is the namespace to join (Join only).
	Path string
	// MTU is the device's maximum transmission unit in bytes.
	MTU int
	// IPv6 turns IPv6 on or off; nil follows the host's default route.
	IPv6 *bool
	// Subnet is the container's IPv4 network.
	Subnet netip.Prefix
	// HostLoopback lets the container reach the host's 127.0.0.1 through its
	// gateway address.
	HostLoopback bool
}

// NeedsHelper reports whether homerun-net must be started.
func (n Network) NeedsHelper() bool {
	return n.Mode == Auto || n.Mode == Pasta || n.Mode == Slirp4netns
}

// ParseNetwork reads the value of --net:
//
//	none | host | ns:PATH
//	auto | pasta | slirp4netns, each with :OPTION[,OPTION...]
//
// The options are mtu=BYTES, ipv6=true|false, subnet=CIDR and host-loopback.
func ParseNetwork(s string) (Network, error) {
	name, rest, more := strings.Cut(s, ":")
	n := Network{Mode: Mode(name)}
	switch n.Mode {
	case None, Host:
		if more {
			return n, errorf("takes no options", "--net %q", s)
		}
		return n, nil
	case Join:
		return parseJoin(n, s, rest)
	case Auto, Pasta, Slirp4netns:
		return n, parseOptions(&n, s, rest, more)
	}
	e := errorf("unknown network", "--net %q", s)
	e.Hint = "one of none, host, pasta, slirp4netns, ns:PATH"
	return n, e
}

func parseJoin(n Network, s, path string) (Network, error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
		e := errorf("not an absolute path", "--net %q", s)
		e.Hint = "for example --net ns:/run/user/1000/netns/web or ns:/proc/PID/ns/net"
		return n, e
	}
	n.Path = path
	return n, nil
}

func parseOptions(n *Network, s, rest string, more bool) error {
	if !more {
		return nil
	}
	for option := range strings.SplitSeq(rest, ",") {
		if why := n.set(option); why != "" {
			e := errorf(why, "--net %q: option %q", s, option)
			e.Hint = "options are mtu=BYTES, ipv6=true|false, subnet=CIDR, host-loopback"
			return e
		}
	}
	return nil
}

// set applies one option and answers why it cannot, or "".
func (n *Network) set(option string) string {
	key, value, _ := strings.Cut(option, "=")
	switch key {
	case "mtu":
		mtu, err := strconv.Atoi(value)
		if err != nil || mtu < MinimumMTU || mtu > MaximumMTU {
			return "want a number from 1280 to 65520"
		}
		n.MTU = mtu
	case "ipv6":
		on := value == "true"
		if !on && value != "false" {
			return "want true or false"
		}
		n.IPv6 = &on
	case "subnet":
		p, err := netip.ParsePrefix(value)
		if err != nil || CheckSubnet(p) != nil {
			return "want an IPv4 network of /24 to /8, like 10.5.0.0/24"
		}
		n.Subnet = p.Masked()
	case "host-loopback":
		if option != key {
			return "takes no value"
		}
		n.HostLoopback = true
	default:
		return "unknown option"
	}
	return ""
}
