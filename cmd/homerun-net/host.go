package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
)

// settings is what the drivers are started with.
type settings struct {
	// v4 and v6 tell which protocols the container gets.
	v4, v6    bool
	mtu       int
	subnet    netip.Prefix
	four, six netns.Addresses
	// forward4 and forward6 tell whether pasta has to answer DNS.
	forward4, forward6 bool
	// loopback lets the container reach the host's loopback.
	loopback bool
	pid      int
	// sameUser is true when the container has no user namespace of its own.
	sameUser bool
	// exposed is true when the container's processes see those of this host: it
	// has no PID namespace of its own.
	exposed bool
	// resolvOutside is true when /etc/resolv.conf leads out of /etc and /run.
	resolvOutside bool
	// withoutRoot: nobody is root in the container's user namespace.
	withoutRoot bool
	// unprivileged is the first port that users may bind.
	unprivileged int
}

// measure completes a request with what the host is like.
func measure(r netns.Request) settings {
	s := settings{
		v4: hasRoute4(readText("/proc/net/route")), v6: hasRoute6(readText("/proc/net/ipv6_route")),
		mtu: r.MTU, subnet: r.Subnet, six: netns.IPv6(), loopback: r.HostLoopback, pid: r.PID,
		sameUser: sameUser(r.PID), exposed: exposed(readText("/proc/" + strconv.Itoa(r.PID) + "/status")), resolvOutside: resolvOutside(), withoutRoot: withoutRoot(r.PID), unprivileged: unprivilegedPort(),
	}
	if r.IPv6 != nil {
		s.v6 = *r.IPv6
	}
	s.forward4, s.forward6 = netns.NeedsForward(readText("/etc/resolv.conf"))
	// Without any route IPv4 is the one to try, and to complain about.
	s.v4 = s.v4 || !s.v6
	if s.mtu == 0 {
		s.mtu = netns.DefaultMTU
	}
	if !s.subnet.IsValid() {
		s.subnet = netns.ChooseSubnet(interfacePrefixes())
	}
	s.four = netns.IPv4(s.subnet)
	return s
}

// hasRoute4 looks for a default route in the text of /proc/net/route.
func hasRoute4(text string) bool {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) >= 8 && f[1] == "00000000" && f[7] == "00000000" {
			return true
		}
	}
	return false
}

// hasRoute6 looks for a default route in the text of /proc/net/ipv6_route. A
// namespace without one has a line that rejects (RTF_REJECT, 0x200).
func hasRoute6(text string) bool {
	const reject = 0x200
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || strings.Trim(f[0], "0") != "" || f[1] != "00" || f[9] == "lo" {
			continue
		}
		flags, err := strconv.ParseUint(f[8], 16, 32)
		if err == nil && flags&reject == 0 {
			return true
		}
	}
	return false
}

func readText(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

func interfacePrefixes() []netip.Prefix {
	addresses, _ := net.InterfaceAddrs()
	var list []netip.Prefix
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Masked())
		}
	}
	return list
}

// sameUser compares user namespaces. One that cannot be looked at is another.
func sameUser(pid int) bool {
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return false
	}
	theirs, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/user")
	return err == nil && own == theirs
}

// exposed looks for a second id in the line NSpid of a process's status: one in a
// PID namespace below ours. What cannot be read has none.
func exposed(status string) bool {
	_, line, _ := strings.Cut(status, "\nNSpid:")
	line, _, _ = strings.Cut(line, "\n")
	return len(strings.Fields(line)) < 2
}

// hidden refuses a container whose root would see what works for it in its user
// namespace, and may trace that: the drivers are in the host's network there, as
// the caller, and slirp4netns and the process that serves ports show its files.
func (s settings) hidden() error {
	if !s.exposed || s.sameUser {
		return nil
	}
	return &fault.Error{What: "network", Why: "the container has no PID namespace of its own, so its root could take over what connects it",
		Hint: "add a namespace of type pid to linux.namespaces, or take the network away"}
}

func withoutRoot(pid int) bool {
	return lacksRoot(readText("/proc/"+strconv.Itoa(pid)+"/uid_map")) || lacksRoot(readText("/proc/"+strconv.Itoa(pid)+"/gid_map"))
}

// lacksRoot reports whether a map, as in user_namespaces(7), has no id 0 inside.
func lacksRoot(text string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimLeft(line, " "), "0 ") {
			return false
		}
	}
	return text != ""
}

func resolvOutside() bool {
	path, err := filepath.EvalSymlinks("/etc/resolv.conf")
	return err == nil && !strings.HasPrefix(path, "/etc/") && !strings.HasPrefix(path, "/run/")
}

func unprivilegedPort() int {
	n, err := strconv.Atoi(strings.TrimSpace(readText("/proc/sys/net/ipv4/ip_unprivileged_port_start")))
	if err != nil {
		return 1024
	}
	return n
}

// appArmorRestricts reports whether AppArmor confines user namespaces (Ubuntu).
func appArmorRestricts() bool {
	return strings.TrimSpace(readText("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")) == "1"
}

// hostAddress is where the container reaches the host: the gateway when that
// leads to the host's loopback, else the address that the host itself goes out
// with, which the driver connects to like to any other.
func (s settings) hostAddress() netip.Addr {
	if s.loopback && s.v4 {
		return s.four.Gateway
	}
	if a := outgoing("udp4", "198.51.100.1:9"); a.IsValid() && s.v4 {
		return a
	}
	if s.v6 {
		return outgoing("udp6", "[2001:db8::1]:9")
	}
	return netip.Addr{}
}

// outgoing asks the kernel for a source address. Connecting a UDP socket sends
// nothing.
func outgoing(network, to string) netip.Addr {
	c, err := net.Dial(network, to)
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	a, _ := netip.AddrFromSlice(c.LocalAddr().(*net.UDPAddr).IP)
	return a.Unmap()
}

// checkTun opens the device that every driver needs, for a clearer error than
// theirs.
func checkTun() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		errno, _ := err.(unix.Errno)
		return netns.ExplainTun(unix.ErrnoName(errno), err.Error())
	}
	return unix.Close(fd)
}
