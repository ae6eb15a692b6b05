package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/netns"
)

// How slirp4netns is run
//
// It says on one descriptor that it is ready and ends when another one is
// closed, which it is with our end, however that comes. It makes the tap device
// itself (-c); rootlesskit's network driver runs nsenter and ip in the
// container's mount namespace for that, where there may be neither.
//
// Its IPv6 address comes by router advertisement, and the kernel would let
// duplicate address detection pass before it is used, one to two seconds. There
// are no duplicates on a private tap device: accept_dad is 0 in the namespace
// while the device is made.

const slirpSocket = "slirp.sock"

// slirp is an installed slirp4netns: its path, and what slirp4netns versions differ
// in. All of these came with 0.4.0 (2019) or before, but for cidr's restrictions; what
// is missing is left out, except what keeps the host's loopback closed.
type slirp struct {
	path                                              string
	sandbox, seccomp, ipv6, cidr, disableHostLoopback bool
}

func (h *helper) lookForSlirp() (slirp, error) {
	path, err := find("slirp4netns")
	if err != nil {
		return slirp{}, err
	}
	text := helpText(h.life, path)
	has := func(option string) bool { return strings.Contains(text, option) }
	return slirp{
		path: path, sandbox: has("--enable-sandbox"), seccomp: has("--enable-seccomp") && kernelHasSeccomp(),
		ipv6: has("--enable-ipv6"), cidr: has("--cidr"), disableHostLoopback: has("--disable-host-loopback"),
	}, nil
}

func kernelHasSeccomp() bool {
	_, err := os.Stat("/proc/sys/kernel/seccomp/actions_avail")
	return err == nil
}

// slirpArguments is slirp4netns's command line; descriptors 3 and 4 are ready
// and exit.
func slirpArguments(s settings, f slirp) []string {
	a := []string{"--configure", "--exit-fd=4", "--ready-fd=3", "--mtu=" + strconv.Itoa(s.mtu), "--api-socket=" + slirpSocket}
	if !s.loopback {
		a = append(a, "--disable-host-loopback")
	}
	// The sandbox sees /etc and /run only: a resolv.conf that leads elsewhere
	// would leave the container without names. And slirp4netns becomes root of the
	// container's user namespace for it, which has none where the program is the caller.
	if f.sandbox && !s.resolvOutside && !s.withoutRoot {
		a = append(a, "--enable-sandbox")
	}
	if f.seccomp {
		a = append(a, "--enable-seccomp")
	}
	if f.ipv6 && s.v6 {
		a = append(a, "--enable-ipv6")
	}
	if f.cidr {
		a = append(a, "--cidr="+s.subnet.String())
	}
	return append(a, strconv.Itoa(s.pid), netns.Device)
}

// check refuses one that would leave the host's loopback open where it is to be closed.
func (f slirp) check(loopback bool) error {
	if loopback || f.disableHostLoopback {
		return nil
	}
	return &fault.Error{What: "slirp4netns", Why: "too old to close the host's loopback", Hint: "slirp4netns 0.4.0 or newer can"}
}

// startSlirp connects the container through slirp4netns.
func (h *helper) startSlirp() (*link, error) {
	f, err := h.findSlirp()
	if err != nil {
		return nil, err
	}
	if err := f.check(h.settings.loopback); err != nil {
		return nil, err
	}
	// slirp4netns always has IPv4.
	h.settings.v4 = true
	if h.settings.v6 {
		defer h.skipAddressDetection()()
	}
	return runSlirp(h.life, f.path, slirpArguments(h.settings, f))
}

func runSlirp(ctx context.Context, path string, arguments []string) (*link, error) {
	readyRead, readyWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("network: pipe: %w", err)
	}
	defer readyRead.Close()
	exitRead, exitWrite, err := os.Pipe()
	if err != nil {
		readyWrite.Close()
		return nil, fmt.Errorf("network: pipe: %w", err)
	}
	os.Remove(slirpSocket)
	command := exec.Command(path, arguments...)
	command.ExtraFiles = []*os.File{readyWrite, exitRead}
	p, err := launch(command)
	readyWrite.Close()
	exitRead.Close()
	if err == nil {
		if err = p.await(ctx, readyRead); err != nil {
			err = p.explain(netns.Slirp4netns, err)
		}
	}
	if err != nil {
		exitWrite.Close()
		os.Remove(slirpSocket)
		return nil, err
	}
	return &link{driver: netns.Slirp4netns, process: p, closers: []func(){
		func() { os.Remove(slirpSocket) }, func() { exitWrite.Close() },
	}}, nil
}

// slirpDNS are the addresses at which slirp4netns answers DNS, always.
func (s settings) slirpDNS() []netip.Addr {
	if s.v6 {
		return []netip.Addr{s.four.DNS, s.six.DNS}
	}
	return []netip.Addr{s.four.DNS}
}

// address6 is the container's global IPv6 address, or zero. slirp4netns's
// arrives a moment after it is ready, so it is waited for, though not long. Netlink tells
// those in its network namespace alone: that would be a process more.
func (h *helper) address6() netip.Addr {
	if !h.settings.v6 {
		return netip.Addr{}
	}
	if h.link.driver == netns.Pasta {
		return h.settings.six.Container
	}
	path := fmt.Sprintf("/proc/%d/net/if_inet6", h.settings.pid)
	for range 50 {
		if a := globalAddress(readText(path)); a.IsValid() {
			return a
		}
		time.Sleep(2 * time.Millisecond)
	}
	return netip.Addr{}
}

// globalAddress finds the first address of global scope on the container's
// device in the text of /proc/net/if_inet6.
func globalAddress(text string) netip.Addr {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 6 || len(f[0]) != 32 || f[3] != "00" || f[5] != netns.Device {
			continue
		}
		var b strings.Builder
		for i := 0; i < 32; i += 4 {
			b.WriteString(":" + f[0][i:i+4])
		}
		a, _ := netip.ParseAddr(b.String()[1:])
		return a
	}
	return netip.Addr{}
}
