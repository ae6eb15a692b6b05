package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/netns"
)

// plain are the settings of a container with both protocols.
func plain() settings {
	subnet := netip.MustParsePrefix("10.0.2.0/24")
	return settings{v4: true, v6: true, mtu: 65520, subnet: subnet, four: netns.IPv4(subnet), six: netns.IPv6(), pid: 42}
}

func forwards(t *testing.T, list ...string) []netns.Forward {
	t.Helper()
	var out []netns.Forward
	for _, s := range list {
		out = append(out, forward(t, s))
	}
	return out
}

// TestPastaArguments: the exact flags, since they are what keeps the host's
// loopback closed.
func TestPastaArguments(t *testing.T) {
	target := "42"
	if os.Geteuid() == 0 {
		target = "--runas 0:0 42"
	}
	const start = "--foreground --quiet --pid pasta.pid --config-net --ns-ifname tap0 --mtu 65520 "
	const four = "--address 10.0.2.100 --netmask 24 --gateway 10.0.2.2 "
	const six = "--address fd00::100 --gateway fd00::2 "
	const closed = "--tcp-ns none --udp-ns none "
	const none = "--tcp-ports none --udp-ports none "
	for name, c := range map[string]struct {
		change func(*settings)
		pasta  pasta
		ports  []string
		want   string
	}{
		"usual":     {want: start + four + six + "--no-map-gw " + closed + none + target},
		"IPv4 only": {change: func(s *settings) { s.v6 = false }, want: start + four + "--ipv4-only --no-map-gw " + closed + none + target},
		"IPv6 only": {change: func(s *settings) { s.v4 = false }, want: start + "--ipv6-only " + six + "--no-map-gw " + closed + none + target},
		"loopback":  {change: func(s *settings) { s.loopback = true }, want: start + four + six + closed + none + target},
		"DNS": {change: func(s *settings) { s.forward4, s.forward6 = true, true },
			want: start + four + six + "--dns-forward 10.0.2.3 --dns-forward fd00::3 --no-map-gw " + closed + none + target},
		"newest": {pasta: pasta{hostLoToNSLo: true, confPath: true},
			want: start + four + six + "--no-map-gw --host-lo-to-ns-lo --conf-path pasta.sock " + closed + none + target},
		"same user namespace": {change: func(s *settings) { s.sameUser = true },
			want: start + four + six + "--no-map-gw " + closed + none + "--netns-only --netns /proc/42/ns/net"},
		"ports": {ports: []string{"8080:80", "[::1]:8081:80", "127.0.0.1:9000-9009:90-99", "5300:53/udp"},
			want: start + four + six + "--no-map-gw " + closed + "--tcp-ports 8080-8080:80-80 --tcp-ports ::1/8081-8081:80-80 " +
				"--tcp-ports 127.0.0.1/9000-9009:90-99 --udp-ports 5300-5300:53-53 " + target},
	} {
		s := plain()
		if c.change != nil {
			c.change(&s)
		}
		if got := strings.Join(c.pasta.arguments(s, forwards(t, c.ports...)), " "); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, c.want)
		}
	}
}

func TestSlirpArguments(t *testing.T) {
	all := slirp{sandbox: true, seccomp: true, ipv6: true, cidr: true, disableHostLoopback: true}
	const start = "--configure --exit-fd=4 --ready-fd=3 --mtu=65520 --api-socket=slirp.sock "
	for name, c := range map[string]struct {
		change   func(*settings)
		features slirp
		want     string
	}{
		"usual":     {nil, all, start + "--disable-host-loopback --enable-sandbox --enable-seccomp --enable-ipv6 --cidr=10.0.2.0/24 42 tap0"},
		"IPv4 only": {func(s *settings) { s.v6 = false }, all, start + "--disable-host-loopback --enable-sandbox --enable-seccomp --cidr=10.0.2.0/24 42 tap0"},
		"loopback":  {func(s *settings) { s.loopback = true }, all, start + "--enable-sandbox --enable-seccomp --enable-ipv6 --cidr=10.0.2.0/24 42 tap0"},
		"resolv.conf elsewhere": {func(s *settings) { s.resolvOutside = true }, all,
			start + "--disable-host-loopback --enable-seccomp --enable-ipv6 --cidr=10.0.2.0/24 42 tap0"},
		"nobody is root": {func(s *settings) { s.withoutRoot = true }, all,
			start + "--disable-host-loopback --enable-seccomp --enable-ipv6 --cidr=10.0.2.0/24 42 tap0"},
		"old": {nil, slirp{disableHostLoopback: true}, start + "--disable-host-loopback 42 tap0"},
	} {
		s := plain()
		if c.change != nil {
			c.change(&s)
		}
		if got := strings.Join(slirpArguments(s, c.features), " "); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, c.want)
		}
	}
}

func TestLacksRoot(t *testing.T) {
	for text, want := range map[string]bool{"": false, "         0       1000          1\n": false, "      1000       1000          1\n": true,
		"         1       1000          1\n         0     100000          9\n": false} {
		if got := lacksRoot(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestSpecs(t *testing.T) {
	for _, c := range []struct{ port, by, want string }{
		{"8080:80", bySlirp, "[{tcp 0.0.0.0 8080 80 }]"},
		{"8080:80", byPesto, "[{tcp 0.0.0.0 8080 80 } {tcp :: 8080 80 }]"},
		{"8080:80", byBuiltin, "[{tcp  8080 80 10.0.2.100}]"},
		{"[::1]:8080:80", byBuiltin, "[{tcp ::1 8080 80 fd00::100}]"},
		{"127.0.0.1:8-9:1-2/udp", bySlirp, "[{udp 127.0.0.1 8 1 } {udp 127.0.0.1 9 2 }]"},
	} {
		if got := fmt.Sprint(plain().specs(forward(t, c.port), c.by)); got != c.want {
			t.Errorf("%s by %s: %s, want %s", c.port, c.by, got, c.want)
		}
	}
	four := plain()
	four.v6, four.six = false, netns.Addresses{}
	if got := fmt.Sprint(four.specs(forward(t, "[::1]:8080:80"), byBuiltin)); got != "[{tcp ::1 8080 80 10.0.2.100}]" {
		t.Error(got)
	}
}

func TestRoutes(t *testing.T) {
	const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	for text, want := range map[string]bool{
		"":   false,
		head: false,
		head + "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n": false,
		head + "eth0\t00000000\t020200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n": true,
	} {
		if hasRoute4(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
	const zero = "00000000000000000000000000000000"
	line := func(gateway, flags, device string) string {
		return zero + " 00 " + zero + " 00 " + gateway + " 00000400 00000001 00000000 " + flags + " " + device + "\n"
	}
	for text, want := range map[string]bool{
		"":                             false,
		line(zero, "00200200", "lo"):   false,
		line(zero, "00200200", "eth0"): false,
		line("20010db8000000000000000000000002", "00000003", "eth0"): true,
	} {
		if hasRoute6(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestGlobalAddress(t *testing.T) {
	const text = `00000000000000000000000000000001 01 80 10 80       lo
fe8000000000000050b449fffe0a4d83 02 40 20 80     tap0
fd0000000000000050b449fffe0a4d83 02 40 00 00     tap0
`
	if a := globalAddress(text); a.String() != "fd00::50b4:49ff:fe0a:4d83" {
		t.Error(a)
	}
	if a := globalAddress("x\n"); a.IsValid() {
		t.Error(a)
	}
}

// TestExposed: NSpid of proc_pid_status(5).
func TestExposed(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tsh\nNSpid:\t812\nNSpgid:\t812\t1\n":          true,
		"Name:\tsh\nNSpid:\t812\t1\nNSpgid:\t812\n":          false,
		"Name:\tsh\nNSpid:\t812\t7\t1\nNSpgid:\t812\t7\t1\n": false,
		"": true,
	} {
		if got := exposed(status); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
}
