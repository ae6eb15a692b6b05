package netns

import "net/netip"

// The limits and the default of the network device's MTU, in bytes. The
// maximum is what slirp4netns and pasta can carry; 1280 is IPv6's minimum.
const (
	MinimumMTU = 1280
	MaximumMTU = 65520
	DefaultMTU = 65520
)

// Device is the name of the network device inside the container.
const Device = "tap0"

// Addresses are a container's own, its gateway's and its name server's. The
// last two are answered by the driver, not by a machine.
type Addresses struct {
	Container netip.Addr
	Gateway   netip.Addr
	DNS       netip.Addr
	// Bits is the length of the network's prefix.
	Bits int
}

// IPv4 gives the addresses inside a subnet: .100, .2 and .3, as slirp4netns has
// them. The same for both drivers, so that an address never shows which driver
// runs, and private: a container that had the host's own address, pasta's
// default, could not reach what the host publishes there.
func IPv4(subnet netip.Prefix) Addresses {
	base := subnet.Masked().Addr().As4()
	at := func(n byte) netip.Addr {
		a := base
		a[3] += n
		return netip.AddrFrom4(a)
	}
	return Addresses{Container: at(100), Gateway: at(2), DNS: at(3), Bits: subnet.Bits()}
}

// IPv6 gives the IPv6 addresses. slirp4netns's network fd00::/64 is fixed, and
// its containers take another address than this one by router advertisement.
func IPv6() Addresses {
	at := func(high, low byte) netip.Addr {
		return netip.AddrFrom16([16]byte{0: 0xfd, 14: high, 15: low})
	}
	return Addresses{Container: at(1, 0), Gateway: at(0, 2), DNS: at(0, 3), Bits: 64}
}

// CheckSubnet says why a network cannot be a container's.
func CheckSubnet(p netip.Prefix) error {
	if !p.IsValid() || !p.Addr().Is4() || p.Bits() > 24 || p.Bits() < 8 {
		return errorf("want an IPv4 network of /24 to /8", "subnet %s", p)
	}
	return nil
}

// ChooseSubnet picks the container's IPv4 network: the usual 10.0.2.0/24 unless
// the host is in one that overlaps (it may itself be a container, or a virtual
// machine of the kind that has that network), then others. taken are the
// networks of the host's interfaces.
func ChooseSubnet(taken []netip.Prefix) netip.Prefix {
	for _, p := range candidates() {
		if !overlapsAny(p, taken) {
			return p
		}
	}
	return candidates()[0]
}

func candidates() []netip.Prefix {
	network := func(a, b, c byte) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, 0}), 24)
	}
	return []netip.Prefix{network(10, 0, 2), network(10, 231, 2), network(172, 30, 231), network(192, 168, 231)}
}

func overlapsAny(p netip.Prefix, taken []netip.Prefix) bool {
	for _, t := range taken {
		if t.Overlaps(p) {
			return true
		}
	}
	return false
}
