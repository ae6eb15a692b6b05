package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
)

// checkPorts tries to bind what is to be published, for the kernel's own word
// on each port. Somebody may take one afterwards: the drivers report that too,
// in their words, and checkHeld finds what they keep silent about.
func (s settings) checkPorts(list []netns.Forward) error {
	for _, f := range list {
		if err := s.checkForward(f); err != nil {
			return err
		}
	}
	return nil
}

func (s settings) checkForward(f netns.Forward) error {
	return s.eachPort(f, func(a netip.Addr, port uint16) error {
		if errno := tryBind(f.Protocol, a, port); errno != 0 {
			return netns.ExplainBind(f, port, unix.ErrnoName(errno), errno.Error(), s.unprivileged)
		}
		return nil
	})
}

// checkHeld verifies that ports are taken, as they are once published.
func checkHeld(list []netns.Forward, s settings) error {
	for _, f := range list {
		err := s.eachPort(f, func(a netip.Addr, port uint16) error {
			if errno := tryBind(f.Protocol, a, port); errno == 0 {
				return &fault.Error{What: fmt.Sprintf("pasta: publish %s", f), Why: fmt.Sprintf("port %d was not taken", port)}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachPort calls do for every address and port that a forward means.
func (s settings) eachPort(f netns.Forward, do func(netip.Addr, uint16) error) error {
	for _, a := range s.hostAddresses(f.HostIP) {
		for i := range f.Count {
			if err := do(a, f.HostPort+i); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostAddresses spells out "all addresses".
func (s settings) hostAddresses(a netip.Addr) []netip.Addr {
	if a.IsValid() {
		return []netip.Addr{a}
	}
	var list []netip.Addr
	if s.v4 {
		list = append(list, netip.IPv4Unspecified())
	}
	if s.v6 {
		list = append(list, netip.IPv6Unspecified())
	}
	return list
}

// tryBind binds a port for a moment, as a listener would. A TCP listener may
// take over an address in TIME_WAIT (SO_REUSEADDR); for UDP the same option
// would let it in where somebody else already is.
func tryBind(p netns.Protocol, a netip.Addr, port uint16) unix.Errno {
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if a.Is6() {
		family = unix.AF_INET6
	}
	if p == netns.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return errnoOf(err)
	}
	defer unix.Close(fd)
	if a.Is6() {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil && p == netns.TCP {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(a, port))
	}
	return errnoOf(err)
}

func sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: int(port), Addr: a.As16()}
}

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	if err != nil && !errors.As(err, &errno) {
		return unix.EIO
	}
	return errno
}
