package netns

import (
	"net/netip"
	"slices"
	"strings"
)

// A container's resolv.conf
//
// The host's resolvers are copied when the container can reach them. Three
// kinds it cannot: a resolver on the host's loopback (systemd-resolved,
// dnsmasq), one on a link-local address with a zone, which names an interface
// of the host, and an IPv6 one when the container has IPv4 only. In their place
// goes the driver's own DNS address, which asks the host's resolver from the
// host's namespace. --dns replaces the resolvers and nothing else. libc reads
// three name servers at most.

const maxNameservers = 3

// Resolver is what a resolv.conf says.
type Resolver struct {
	Nameservers []netip.Addr
	Search      []string
	Options     []string
}

// ParseResolver reads a resolv.conf. What it does not know, and what it cannot
// read, it leaves out: libc does the same.
func ParseResolver(text string) Resolver {
	var r Resolver
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) > 1 {
			r.line(words[0], words[1:])
		}
	}
	return r
}

func (r *Resolver) line(keyword string, values []string) {
	switch keyword {
	case "nameserver":
		if a, err := netip.ParseAddr(values[0]); err == nil {
			r.Nameservers = append(r.Nameservers, a)
		}
	case "search":
		r.Search = values
	case "domain":
		r.Search = values[:1]
	case "options":
		r.Options = append(r.Options, values...)
	}
}

// ResolvInput is what a container's resolv.conf depends on.
type ResolvInput struct {
	// Host is the host's resolv.conf; empty when there is none.
	Host string
	// HostNetwork is true when the container shares the host's namespace.
	HostNetwork bool
	// Forward holds the driver's DNS addresses (Result.DNS).
	Forward []netip.Addr
	// DNS holds the addresses of --dns.
	DNS []netip.Addr
	// IPv6 is true when the container has an IPv6 address (Result.Address6).
	IPv6 bool
}

// ResolvConf is the text of the container's resolv.conf.
func ResolvConf(in ResolvInput) string {
	if in.HostNetwork && len(in.DNS) == 0 {
		return in.Host
	}
	host := ParseResolver(in.Host)
	options := host.Options
	asked := host.Nameservers
	if len(in.DNS) > 0 {
		asked = in.DNS
		// The host's administrator vouched for the host's resolvers only.
		options = without(options, "trust-ad")
	}
	return Resolver{Nameservers: in.nameservers(asked), Search: host.Search, Options: options}.String()
}

// nameservers replaces those that cannot be reached by the driver's.
func (in ResolvInput) nameservers(asked []netip.Addr) []netip.Addr {
	if in.HostNetwork {
		return limit(asked)
	}
	var list []netip.Addr
	for _, a := range asked {
		if in.reaches(a) {
			list = append(list, a)
		}
	}
	if len(list) < len(asked) || len(asked) == 0 {
		list = append(in.forwards(), list...)
	}
	return limit(list)
}

func (in ResolvInput) reaches(a netip.Addr) bool {
	return !Local(a) && a.Zone() == "" && (in.IPv6 || a.Unmap().Is4())
}

// Local reports whether an address, as a resolver's, means the machine itself,
// which is another one inside a network namespace.
func Local(a netip.Addr) bool {
	return a.Unmap().IsLoopback() || a.IsUnspecified()
}

func (in ResolvInput) forwards() []netip.Addr {
	var list []netip.Addr
	for _, a := range in.Forward {
		if in.IPv6 || a.Is4() {
			list = append(list, a)
		}
	}
	return list
}

func limit(list []netip.Addr) []netip.Addr {
	return list[:min(len(list), maxNameservers)]
}

func without(list []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == word })
}

// String is the text of a resolv.conf.
func (r Resolver) String() string {
	var b strings.Builder
	for _, a := range r.Nameservers {
		b.WriteString("nameserver " + a.String() + "\n")
	}
	if len(r.Search) > 0 {
		b.WriteString("search " + strings.Join(r.Search, " ") + "\n")
	}
	if len(r.Options) > 0 {
		b.WriteString("options " + strings.Join(r.Options, " ") + "\n")
	}
	return b.String()
}

// ParseDNS reads the value of --dns.
func ParseDNS(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, errorf("not an IP address", "--dns %q", s)
	}
	return a.Unmap(), nil
}

// NeedsForward says for which protocols pasta has to answer DNS itself: where
// the first resolver, which is the one that pasta asks, is the host's own
// loopback. Otherwise it must not: the pasta of 2023 takes every answer that
// comes from that resolver for one to its own address, so that a container that
// asks the resolver directly never hears from it. resolvConf is the host's.
func NeedsForward(resolvConf string) (four, six bool) {
	asked := ParseResolver(resolvConf).Nameservers
	first := func(is4 bool) bool {
		i := slices.IndexFunc(asked, func(a netip.Addr) bool { return a.Unmap().Is4() == is4 })
		return i >= 0 && Local(asked[i])
	}
	return first(true), first(false)
}

// CheckDNS refuses --dns addresses that mean the machine itself: inside a
// network namespace of its own that is the container.
func CheckDNS(n Network, dns []netip.Addr) error {
	for _, a := range dns {
		if n.Mode != Host && Local(a) {
			e := errorf("the container cannot reach the host's loopback", "--dns %s", a)
			e.Hint = "without --dns a resolver there is asked through the network driver"
			return e
		}
	}
	return nil
}
