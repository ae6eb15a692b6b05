package netns

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
)

// hinted is a message with its hint, for tables.
func hinted(err error) string {
	if err == nil {
		return ""
	}
	e, ok := err.(*fault.Error)
	if !ok {
		return err.Error()
	}
	if e.Hint != "" {
		return e.Error() + " | " + e.Hint
	}
	return e.Error()
}

// fails checks an error: want is how its message begins, then | and a part of
// its hint.
func fails(t *testing.T, what string, err error, want string) {
	t.Helper()
	message, hint, _ := strings.Cut(want, " | ")
	got := hinted(err)
	if err == nil || !strings.HasPrefix(got, message) || !strings.Contains(got, hint) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
	if strings.ContainsAny(got, "\n") || strings.Contains(got, "failed to") {
		t.Errorf("%s: %q is not one plain line", what, got)
	}
}

func TestParseNetwork(t *testing.T) {
	on, off := true, false
	for s, want := range map[string]Network{
		"none":                      {Mode: None},
		"host":                      {Mode: Host},
		"auto":                      {Mode: Auto},
		"pasta":                     {Mode: Pasta},
		"slirp4netns":               {Mode: Slirp4netns},
		"ns:/run/netns/a:b":         {Mode: Join, Path: "/run/netns/a:b"},
		"pasta:mtu=1500":            {Mode: Pasta, MTU: 1500},
		"pasta:ipv6=true,mtu=1280":  {Mode: Pasta, MTU: 1280, IPv6: &on},
		"slirp4netns:ipv6=false":    {Mode: Slirp4netns, IPv6: &off},
		"auto:host-loopback":        {Mode: Auto, HostLoopback: true},
		"pasta:subnet=10.5.0.77/24": {Mode: Pasta, Subnet: netip.MustParsePrefix("10.5.0.0/24")},
	} {
		got, err := ParseNetwork(s)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
		if helper := want.Mode == Auto || want.Mode == Pasta || want.Mode == Slirp4netns; got.NeedsHelper() != helper {
			t.Errorf("%s: needs helper: %v", s, !helper)
		}
	}
	for s, want := range map[string]string{
		"":                       `--net "": unknown network | none, host, pasta`,
		"bridge":                 `--net "bridge": unknown network`,
		"none:x":                 `--net "none:x": takes no options`,
		"ns:":                    `--net "ns:": not an absolute path | /proc/PID/ns/net`,
		"ns:run/x":               `--net "ns:run/x": not an absolute path`,
		"pasta:":                 `--net "pasta:": option "": unknown option | mtu=BYTES`,
		"pasta:mtu=0":            `--net "pasta:mtu=0": option "mtu=0": want a number from 1280 to 65520`,
		"pasta:mtu=65521":        `--net "pasta:mtu=65521": option "mtu=65521": want a number`,
		"pasta:ipv6=yes":         `--net "pasta:ipv6=yes": option "ipv6=yes": want true or false`,
		"pasta:subnet=::/64":     `--net "pasta:subnet=::/64": option "subnet=::/64": want an IPv4 network`,
		"pasta:subnet=1.2.3.4/5": `--net "pasta:subnet=1.2.3.4/5": option`,
		"pasta:host-loopback=1":  `--net "pasta:host-loopback=1": option "host-loopback=1": takes no value`,
	} {
		_, err := ParseNetwork(s)
		fails(t, s, err, want)
	}
}

func TestParseForward(t *testing.T) {
	four, six := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	for s, want := range map[string]Forward{
		"8080:80":                     {HostPort: 8080, ContainerPort: 80, Count: 1, Protocol: TCP},
		"8080:80/tcp":                 {HostPort: 8080, ContainerPort: 80, Count: 1, Protocol: TCP},
		"53:5353/udp":                 {HostPort: 53, ContainerPort: 5353, Count: 1, Protocol: UDP},
		"127.0.0.1:8080:80":           {HostIP: four, HostPort: 8080, ContainerPort: 80, Count: 1, Protocol: TCP},
		"[127.0.0.1]:8080:80":         {HostIP: four, HostPort: 8080, ContainerPort: 80, Count: 1, Protocol: TCP},
		"[::1]:8080:80":               {HostIP: six, HostPort: 8080, ContainerPort: 80, Count: 1, Protocol: TCP},
		"[::ffff:127.0.0.1]:8080:80":  {HostIP: four, HostPort: 8080, ContainerPort: 80, Count: 1, Protocol: TCP},
		"8000-8009:80-89":             {HostPort: 8000, ContainerPort: 80, Count: 10, Protocol: TCP},
		"1-65535:1-65535":             {HostPort: 1, ContainerPort: 1, Count: 65535, Protocol: TCP},
		"0.0.0.0:8000-8000:80-80/udp": {HostIP: netip.IPv4Unspecified(), HostPort: 8000, ContainerPort: 80, Count: 1, Protocol: UDP},
	} {
		got, err := ParseForward(s)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"":                      `-p "": no host port | name the host's port: -p 8080:80`,
		"80":                    `-p "80": no host port | picks no random one`,
		":80":                   `-p ":80": no host port | name`,
		"127.0.0.1::80":         `-p "127.0.0.1::80": no host port | name`,
		"127.0.0.1:80":          `-p "127.0.0.1:80": "127.0.0.1" is not a port`,
		"::1:8080:80":           `-p "::1:8080:80": too many colons | brackets`,
		":8080:80":              `-p ":8080:80": empty address`,
		"[::1]:80":              `-p "[::1]:80": no host port | name`,
		"[::1:8080:80":          `-p "[::1:8080:80": an address in brackets`,
		"[]:8080:80":            `-p "[]:8080:80": an address in brackets`,
		"[fe80::1%eth0]:80:80":  `-p "[fe80::1%eth0]:80:80": an address with a zone`,
		"localhost:8080:80":     `-p "localhost:8080:80": "localhost" is not an IP address | say 127.0.0.1 or [::1]`,
		"8080:80/sctp":          `-p "8080:80/sctp": unknown protocol "sctp", want tcp or udp`,
		"8080:80/":              `-p "8080:80/": unknown protocol ""`,
		"8080:80/tcp/udp":       `-p "8080:80/tcp/udp": unknown protocol "tcp/udp"`,
		"8000-8009:80-88":       `-p "8000-8009:80-88": 10 host ports for 9 container ports`,
		"8000-8009:80":          `-p "8000-8009:80": 10 host ports for 1 container ports`,
		"8009-8000:89-80":       `-p "8009-8000:89-80": "8009-8000" is not a port`,
		"0:80":                  `-p "0:80": "0" is not a port`,
		"65536:80":              `-p "65536:80": "65536" is not a port`,
		"+80:80":                `-p "+80:80": "+80" is not a port`,
		"-80:80":                `-p "-80:80": "-80" is not a port`,
		"8080:http":             `-p "8080:http": "http" is not a port`,
		"127.0.0.1/8080:80/tcp": `-p "127.0.0.1/8080:80/tcp": unknown protocol`,
	} {
		_, err := ParseForward(s)
		fails(t, s, err, want)
	}
}

// FuzzParseForward: an error, or a forward that is in order and survives its
// own spelling and JSON.
func FuzzParseForward(f *testing.F) {
	for _, s := range []string{"8080:80", "[::1]:1-2:3-4/udp", "1.2.3.4:5:6", "::", "[::ffff:1.2.3.4]:1:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseForward(s)
		if err != nil {
			return
		}
		if err := v.Check(); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if again, err := ParseForward(v.String()); err != nil || again != v {
			t.Fatalf("%q: spelled %s, read %+v, %v", s, v, again, err)
		}
		data, err := json.Marshal(v)
		var decoded Forward
		if err == nil {
			err = json.Unmarshal(data, &decoded)
		}
		if err != nil || decoded != v {
			t.Fatalf("%q: %s: %+v, %v", s, data, decoded, err)
		}
	})
}

func TestOverlaps(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"80:80", "80:81", true},
		{"80:80", "80:80/udp", false},
		{"80-89:80-89", "89:1", true},
		{"80-89:80-89", "90:1", false},
		{"127.0.0.1:80:80", "80:80", true},
		{"127.0.0.1:80:80", "127.0.0.2:80:80", false},
		{"127.0.0.1:80:80", "0.0.0.0:80:80", true},
		{"127.0.0.1:80:80", "[::]:80:80", false},
		{"[::1]:80:80", "[::]:80:80", true},
		{"65535:1", "65535:2", true},
	} {
		a, errA := ParseForward(c.a)
		b, errB := ParseForward(c.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.Overlaps(b) != c.want || b.Overlaps(a) != c.want {
			t.Errorf("%s and %s: overlap %v", c.a, c.b, !c.want)
		}
		err := CheckForwards([]Forward{a, b})
		if (err != nil) != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, err)
		}
	}
	bad := Forward{HostPort: 65535, ContainerPort: 1, Count: 2, Protocol: TCP}
	fails(t, "range", bad.Check(), "port 65535-65536:1-2/tcp: range ends above 65535")
}

func TestAddresses(t *testing.T) {
	a := IPv4(netip.MustParsePrefix("10.0.2.0/24"))
	if a.Container.String() != "10.0.2.100" || a.Gateway.String() != "10.0.2.2" || a.DNS.String() != "10.0.2.3" || a.Bits != 24 {
		t.Errorf("%+v", a)
	}
	b := IPv6()
	if b.Container.String() != "fd00::100" || b.Gateway.String() != "fd00::2" || b.DNS.String() != "fd00::3" {
		t.Errorf("%+v", b)
	}
	for want, taken := range map[string][]string{
		"10.0.2.0/24":     {"192.168.1.0/24"},
		"10.231.2.0/24":   {"10.0.0.0/16"},
		"172.30.231.0/24": {"10.0.0.0/8"},
	} {
		var list []netip.Prefix
		for _, p := range taken {
			list = append(list, netip.MustParsePrefix(p))
		}
		if got := ChooseSubnet(list); got.String() != want {
			t.Errorf("beside %v: %s, want %s", taken, got, want)
		}
	}
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestResolvConf(t *testing.T) {
	forward := addrs("10.0.2.3", "fd00::3")
	for name, c := range map[string]struct {
		in   ResolvInput
		want string
	}{
		"copied": {
			ResolvInput{Host: "# made by hand\nnameserver 192.168.1.1\nsearch a.test b.test\noptions ndots:2\n", Forward: forward},
			"nameserver 192.168.1.1\nsearch a.test b.test\noptions ndots:2\n"},
		"systemd-resolved": {
			ResolvInput{Host: "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n", Forward: forward[:1]},
			"nameserver 10.0.2.3\nsearch .\noptions edns0 trust-ad\n"},
		"loopback among others": {
			ResolvInput{Host: "nameserver 127.0.0.1\nnameserver 192.168.1.1\n", Forward: forward[:1]},
			"nameserver 10.0.2.3\nnameserver 192.168.1.1\n"},
		"IPv6 without IPv6": {
			ResolvInput{Host: "nameserver 2001:db8::1\n", Forward: forward},
			"nameserver 10.0.2.3\n"},
		"IPv6": {
			ResolvInput{Host: "nameserver 2001:db8::1\nnameserver ::1\n", Forward: forward, IPv6: true},
			"nameserver 10.0.2.3\nnameserver fd00::3\nnameserver 2001:db8::1\n"},
		"zone": {
			ResolvInput{Host: "nameserver fe80::1%eth0\nnameserver 192.168.1.1\n", Forward: forward[:1], IPv6: true},
			"nameserver 10.0.2.3\nnameserver 192.168.1.1\n"},
		"at most three": {
			ResolvInput{Host: "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n"},
			"nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\n"},
		"--dns": {
			ResolvInput{Host: "nameserver 127.0.0.53\noptions edns0 trust-ad\ndomain a.test\n", Forward: forward, DNS: addrs("9.9.9.9")},
			"nameserver 9.9.9.9\nsearch a.test\noptions edns0\n"},
		"host network": {
			ResolvInput{Host: "nameserver 127.0.0.53\n# kept\n", HostNetwork: true},
			"nameserver 127.0.0.53\n# kept\n"},
		"host network, --dns": {
			ResolvInput{Host: "nameserver 127.0.0.53\n", HostNetwork: true, DNS: addrs("127.0.0.1")},
			"nameserver 127.0.0.1\n"},
		"no network":        {ResolvInput{Host: "nameserver 127.0.0.53\nsearch a.test\n"}, "search a.test\n"},
		"no resolv.conf":    {ResolvInput{Forward: forward[:1]}, "nameserver 10.0.2.3\n"},
		"unreadable":        {ResolvInput{Host: "nameserver\nnameserver x\nsortlist 1.2.3.4\nnameserver 8.8.8.8\n"}, "nameserver 8.8.8.8\n"},
		"the last one wins": {ResolvInput{Host: "search a\ndomain b\nnameserver 8.8.8.8"}, "nameserver 8.8.8.8\nsearch b\n"},
	} {
		if got := ResolvConf(c.in); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestNeedsForward(t *testing.T) {
	for text, want := range map[string][2]bool{
		"":                         {false, false},
		"nameserver 192.168.1.1\n": {false, false},
		"nameserver 127.0.0.53\n":  {true, false},
		"nameserver ::1\nnameserver 192.168.1.1\n":   {false, true},
		"nameserver 1.1.1.1\nnameserver 127.0.0.1\n": {false, false},
	} {
		if four, six := NeedsForward(text); [2]bool{four, six} != want {
			t.Errorf("%q: %v %v", text, four, six)
		}
	}
}

func TestDNS(t *testing.T) {
	if a, err := ParseDNS("::ffff:9.9.9.9"); err != nil || a.String() != "9.9.9.9" {
		t.Error(a, err)
	}
	_, err := ParseDNS("dns.test")
	fails(t, "name", err, `--dns "dns.test": not an IP address`)
	fails(t, "loopback", CheckDNS(Network{Mode: Pasta}, addrs("9.9.9.9", "127.0.0.53")), "--dns 127.0.0.53: the container cannot reach | without --dns")
	if err := CheckDNS(Network{Mode: Host}, addrs("127.0.0.53")); err != nil {
		t.Error(err)
	}
}

func TestHosts(t *testing.T) {
	const local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	extra := []HostEntry{{Name: "db", Address: netip.MustParseAddr("10.1.1.1")}, {Name: "gw", Gateway: true}}
	for name, c := range map[string]struct {
		in   HostsInput
		want string
	}{
		"nothing":  {HostsInput{}, local},
		"no net":   {HostsInput{Hostname: "web"}, local + "127.0.1.1\tweb\n"},
		"bad name": {HostsInput{Hostname: "web\n1.2.3.4 evil"}, local},
		"all": {HostsInput{Hostname: "web", Addresses: addrs("10.0.2.100", "fd00::100"), Host: netip.MustParseAddr("192.0.2.1"), Extra: extra},
			"10.1.1.1\tdb\n192.0.2.1\tgw\n" + local + "10.0.2.100\tweb\nfd00::100\tweb\n192.0.2.1\thost.containers.internal host.docker.internal\n"},
		"host network": {HostsInput{Hostname: "web", HostFile: "127.0.0.1 localhost\n", Extra: extra[:1]}, "10.1.1.1\tdb\n127.0.0.1 localhost\n"},
	} {
		if got, err := Hosts(c.in); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
	_, err := Hosts(HostsInput{Extra: extra})
	fails(t, "no host", err, "--add-host gw:host-gateway: no address of the host can be reached | --net pasta")
}

func TestParseAddHost(t *testing.T) {
	for s, want := range map[string]HostEntry{
		"db:10.1.1.1":      {Name: "db", Address: netip.MustParseAddr("10.1.1.1")},
		"db.test:::1":      {Name: "db.test", Address: netip.MustParseAddr("::1")},
		"db:[2001:db8::1]": {Name: "db", Address: netip.MustParseAddr("2001:db8::1")},
		"me:host-gateway":  {Name: "me", Gateway: true},
	} {
		if got, err := ParseAddHost(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "db", "db:", ":1.2.3.4", "a b:1.2.3.4", "a\n:1.2.3.4", "db:x", "db:fe80::1%eth0", "db:[::1"} {
		_, err := ParseAddHost(s)
		fails(t, s, err, "--add-host ")
	}
}

func FuzzParseAddHost(f *testing.F) {
	f.Add("db:[::1]")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseAddHost(s)
		if err != nil {
			return
		}
		text, err := Hosts(HostsInput{Extra: []HostEntry{e}, Host: netip.MustParseAddr("192.0.2.1")})
		if err != nil || strings.Count(text, "\n") != 4 {
			t.Fatalf("%q: %q, %v", s, text, err)
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 127.0.0.53\noptions edns0\nsearch a b\n")
	f.Fuzz(func(t *testing.T, host string) {
		text := ResolvConf(ResolvInput{Host: host, Forward: addrs("10.0.2.3")})
		r := ParseResolver(text)
		if len(r.Nameservers) > maxNameservers || r.String() != text {
			t.Fatalf("%q gave %q, read as %q", host, text, r.String())
		}
		for _, a := range r.Nameservers {
			if Local(a) {
				t.Fatalf("%q gave %q", host, text)
			}
		}
	})
}
