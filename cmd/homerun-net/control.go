package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
)

// commandLimit bounds a connection to the control socket. It leaves room for
// a driver's own limit.
const commandLimit = 12 * time.Second

// listen opens the control socket. The directory is the caller's alone, and so
// is the socket, by the umask.
func (h *helper) listen() error {
	os.Remove(netns.ControlSocket)
	l, err := net.Listen("unix", netns.ControlSocket)
	if err != nil {
		return fmt.Errorf("network: control socket: %w", err)
	}
	h.control = l
	go h.accept(l)
	return nil
}

func (h *helper) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			log.Print(err)
			// Without a free descriptor the socket stays ready, and nothing tells of one: accept(2).
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go func() {
			defer c.Close()
			if err := h.converse(c.(*net.UnixConn)); err != nil {
				log.Print(err)
			}
		}()
	}
}

// converse takes one command and answers it.
func (h *helper) converse(c *net.UnixConn) error {
	if err := c.SetDeadline(time.Now().Add(commandLimit)); err != nil {
		return err
	}
	if err := checkPeer(c); err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(c, 1<<20))
	if err != nil {
		return err
	}
	var reply netns.Reply
	command, err := netns.ParseCommand(data)
	if err == nil {
		reply.Ports, err = h.do(command)
	}
	reply.OK = err == nil
	if err != nil {
		reply.Failure = netns.NewFailure(err)
	}
	return json.NewEncoder(c).Encode(reply)
}

// checkPeer lets in the own user, and root.
func checkPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if int(peer.Uid) != os.Geteuid() && peer.Uid != 0 {
		return fmt.Errorf("control socket: user %d is not let in", peer.Uid)
	}
	return nil
}

func (h *helper) do(c netns.Command) ([]netns.Published, error) {
	switch c.Op {
	case netns.OpAdd:
		return h.publisher.add(c.Ports)
	case netns.OpRemove:
		return h.publisher.remove(c.Ports)
	case netns.OpStop:
		select {
		case h.stop <- struct{}{}:
		default:
		}
		return nil, nil
	}
	return h.publisher.ports(), nil
}
