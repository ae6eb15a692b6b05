package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/proc"
)

// Control sends one command to the helper of the container whose network state
// is in stateDir, and returns its answer. When ctx ends before, it returns ctx's
// error, and what the helper did is not known.
func Control(ctx context.Context, stateDir string, command netns.Command, timeout time.Duration) (netns.Reply, error) {
	conn, err := dial(ctx, stateDir, timeout)
	if err != nil {
		return netns.Reply{}, err
	}
	defer conn.Close()
	fd := int(conn.Fd())
	stop := proc.WhenDone(ctx, func() { _ = unix.Shutdown(fd, unix.SHUT_RDWR) })
	reply, err := exchange(conn, command)
	if stop() && err != nil {
		return reply, ctx.Err()
	}
	if err != nil {
		return reply, fmt.Errorf("network: %s: %w", Name, err)
	}
	return reply, reply.Err()
}

// dial connects to the control socket.
func dial(ctx context.Context, stateDir string, timeout time.Duration) (*os.File, error) {
	fd, err := descriptor.Connect(ctx, filepath.Join(stateDir, netns.ControlSocket))
	if err != nil {
		return nil, noHelper(err)
	}
	conn := os.NewFile(uintptr(fd), netns.ControlSocket)
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("network: setsockopt: %w", err)
	}
	return conn, nil
}

// noHelper is the error for a container without a helper that listens.
func noHelper(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return &fault.Error{
			What: "network",
			Why:  "the container has no network helper that runs",
			Hint: "only containers of `homerun run --net pasta` or `--net slirp4netns` have one, while they run",
		}
	}
	return fmt.Errorf("network: control socket: %w", err)
}

func exchange(conn *os.File, command netns.Command) (netns.Reply, error) {
	var reply netns.Reply
	data, err := json.Marshal(command)
	if err != nil {
		return reply, err
	}
	if _, err := conn.Write(data); err != nil {
		return reply, err
	}
	if err := unix.Shutdown(int(conn.Fd()), unix.SHUT_WR); err != nil {
		return reply, err
	}
	if data, err = io.ReadAll(io.LimitReader(conn, 16<<20)); err != nil {
		return reply, err
	}
	return reply, json.Unmarshal(data, &reply)
}

// List lists what is published.
func List(ctx context.Context, stateDir string) ([]netns.Published, error) {
	reply, err := Control(ctx, stateDir, netns.Command{Op: netns.OpList}, commandTimeout)
	return reply.Ports, err
}

// Add publishes ports of a running container: all of them or none.
func Add(ctx context.Context, stateDir string, ports []netns.Forward) ([]netns.Published, error) {
	reply, err := Control(ctx, stateDir, netns.Command{Op: netns.OpAdd, Ports: ports}, commandTimeout)
	return reply.Ports, err
}

// Remove takes published ports back.
func Remove(ctx context.Context, stateDir string, ports []netns.Forward) ([]netns.Published, error) {
	reply, err := Control(ctx, stateDir, netns.Command{Op: netns.OpRemove, Ports: ports}, commandTimeout)
	return reply.Ports, err
}

// commandTimeout leaves room for a driver's own limit of 5 s.
const commandTimeout = 15 * time.Second
