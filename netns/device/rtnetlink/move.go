// Package rtnetlink moves the devices of package netns/device into a container's
// network namespace: rtnetlink(7).
package rtnetlink

import (
	"encoding/binary"
	"errors"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns/device"
)

// address is an address of a device, as the kernel gives it: its struct
// ifaddrmsg and the attributes that are kept.
type address struct {
	body []byte
	kept map[uint16][]byte
}

// Move moves the devices into the network namespace that the descriptor is
// open on, gives them their permanent global addresses back, which a move
// takes, and brings them up. When the namespace ends, the kernel gives a
// physical device back to the host. The error is a *fault.Error. It may be called
// concurrently for other devices.
func Move(list []device.Move, namespace int) error {
	if len(list) == 0 {
		return nil
	}
	socket, err := open()
	if err != nil {
		return list[0].Failed("open a netlink socket", err)
	}
	defer unix.Close(socket)
	for _, m := range list {
		if err := apply(m, socket, namespace); err != nil {
			return err
		}
	}
	return nil
}

func open() (int, error) {
	return unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
}

func apply(m device.Move, socket, namespace int) error {
	index, err := find(socket, m.Host)
	if err != nil {
		return m.Failed("find it", err)
	}
	list, err := addresses(socket, index)
	if err != nil {
		return m.Failed("read its addresses", err)
	}
	r := newRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK, linkBody(index, 0, unix.IFF_UP))
	r.attribute(unix.IFLA_NET_NS_FD, word(uint32(namespace)))
	r.attribute(unix.IFLA_IFNAME, append([]byte(m.Container), 0))
	if err := converse(socket, r, ignore); err != nil {
		return notMoved(m, err)
	}
	if err := inNamespace(namespace, func(socket int) error { return finish(m, socket, index, list) }); err != nil {
		return m.Failed("set it up in the container", err)
	}
	return nil
}

func notMoved(m device.Move, err error) error {
	e := m.Failed("move it to "+m.Container, err)
	if errors.Is(err, unix.EPERM) {
		e.Hint = "only root of the host may give a device of the host away"
	}
	return e
}

func ignore(uint16, []byte) {}

// find is a device's index.
func find(socket int, name string) (uint32, error) {
	r := newRequest(unix.RTM_GETLINK, 0, linkBody(0, 0, 0))
	r.attribute(unix.IFLA_IFNAME, append([]byte(name), 0))
	var index uint32
	err := askOne(socket, r, func(body []byte) {
		if len(body) >= unix.SizeofIfInfomsg {
			index = binary.NativeEndian.Uint32(body[4:])
		}
	})
	return index, err
}

// askOne is converse for a question with one answer, after which no end comes.
func askOne(socket int, r *request, each func(body []byte)) error {
	binary.NativeEndian.PutUint16(r.b[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	return converse(socket, r, func(_ uint16, body []byte) { each(body) })
}

// addresses lists a device's permanent global addresses.
func addresses(socket int, index uint32) ([]address, error) {
	var list []address
	r := newRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg))
	err := converse(socket, r, func(kind uint16, body []byte) {
		if kind != unix.RTM_NEWADDR || len(body) < unix.SizeofIfAddrmsg || binary.NativeEndian.Uint32(body[4:]) != index {
			return
		}
		if scope, flags := body[3], body[2]; scope != unix.RT_SCOPE_UNIVERSE || flags&unix.IFA_F_PERMANENT == 0 {
			return
		}
		a := address{body: append([]byte(nil), body[:unix.SizeofIfAddrmsg]...), kept: map[uint16][]byte{}}
		all := attributes(body[unix.SizeofIfAddrmsg:])
		for _, kind := range []uint16{unix.IFA_LOCAL, unix.IFA_ADDRESS, unix.IFA_BROADCAST, unix.IFA_FLAGS} {
			if v, ok := all[kind]; ok {
				a.kept[kind] = append([]byte(nil), v...)
			}
		}
		list = append(list, a)
	})
	return list, err
}

// inNamespace runs f with a socket of another network namespace. A socket
// belongs to the namespace it was made in, so only its making needs a thread
// that is there; that thread is not used again.
func inNamespace(namespace int, f func(socket int) error) error {
	type made struct {
		socket int
		err    error
	}
	c := make(chan made)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
			c <- made{-1, err}
			return
		}
		socket, err := open()
		c <- made{socket, err}
	}()
	m := <-c
	if m.err != nil {
		return m.err
	}
	defer unix.Close(m.socket)
	return f(m.socket)
}

// finish gives the addresses back and brings the device up. Its index is the
// same, unless a device in the container had it.
func finish(m device.Move, socket int, index uint32, list []address) error {
	if now, err := find(socket, m.Container); err == nil {
		index = now
	}
	for _, a := range list {
		binary.NativeEndian.PutUint32(a.body[4:], index)
		r := newRequest(unix.RTM_NEWADDR, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE, a.body)
		for _, kind := range []uint16{unix.IFA_LOCAL, unix.IFA_ADDRESS, unix.IFA_BROADCAST, unix.IFA_FLAGS} {
			if v, ok := a.kept[kind]; ok {
				r.attribute(kind, v)
			}
		}
		if err := converse(socket, r, ignore); err != nil {
			return err
		}
	}
	return converse(socket, newRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK, linkBody(index, unix.IFF_UP, unix.IFF_UP)), ignore)
}
