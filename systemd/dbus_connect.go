package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// The files dbus*.go talk to a systemd manager over D-Bus.
//
// Who is on the other side of a socket is decided before a byte is sent: the
// socket is opened with O_PATH, its owner is read from that descriptor, and the
// connection goes to /proc/self/fd/N, so no rename comes in between. A wrong
// XDG_RUNTIME_DIR (after su) thus leads nowhere. This also lifts the limit of
// 107 bytes on a socket's path.
//
// The identity is empty: EXTERNAL with no initial response makes the server
// take the uid from SO_PEERCRED. Inside of a user namespace our own idea of our
// uid (0) is not the server's, which would reject it.
//
// Limits in time: connecting takes at most connectLimit, and everything else
// ends with its context, which gets callLimit where it has no deadline.
const (
	connectLimit = 5 * time.Second
	callLimit    = 30 * time.Second
)

// Conn is a connection to a service manager. It is for one goroutine at a time.
type Conn struct {
	bus     *dbus.Conn
	socket  string
	private bool
	signals chan *dbus.Signal
}

type externalAuth struct{}

func (externalAuth) FirstData() (name, response []byte, status dbus.AuthStatus) {
	return []byte("EXTERNAL"), nil, dbus.AuthOk
}

func (externalAuth) HandleData([]byte) (response []byte, status dbus.AuthStatus) {
	return nil, dbus.AuthOk
}

// Connect connects to the manager: $DBUS_SESSION_BUS_ADDRESS,
// $XDG_RUNTIME_DIR/bus, /run/user/UID/bus, then the private sockets; for root of
// the first user namespace the system bus. The *Error of a failure tells what
// was wrong with each. Close the Conn in the end.
func Connect(ctx context.Context, p Place) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	list, reasons := p.candidates()
	for _, c := range list {
		conn, err := c.connect(ctx)
		if err == nil {
			return conn, nil
		}
		if reason := c.path + ": " + plain(err); !contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return nil, &Error{Op: "connect to the service manager", Reason: strings.Join(reasons, "; "), hint: p.hint()}
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

func (p Place) hint() string {
	if p.System {
		return "is systemd process 1 of this machine? --cgroup-manager=cgroupfs works without it"
	}
	user := strconv.Itoa(p.HostUID)
	return "a user's service manager runs after a login through pam_systemd: use machinectl shell (not su or sudo), " +
		"or run loginctl enable-linger " + user + " once and set XDG_RUNTIME_DIR=/run/user/" + user +
		"; the package dbus-user-session gives it a bus"
}

// Socket is the path that is connected to, for messages.
func (c *Conn) Socket() string { return c.socket }

// Close ends the connection; calls that wait return with an error.
func (c *Conn) Close() error { return c.bus.Close() }

func (c candidate) connect(ctx context.Context) (*Conn, error) {
	socket, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = socket.SetDeadline(deadline)
	}
	bus, err := dbus.NewConn(socket)
	if err != nil {
		socket.Close()
		return nil, err
	}
	if err := bus.Auth([]dbus.Auth{externalAuth{}}); err != nil {
		bus.Close()
		return nil, err
	}
	conn := &Conn{bus: bus, socket: c.path, private: c.private, signals: make(chan *dbus.Signal, 64)}
	if !c.private {
		if err := bus.Hello(); err != nil {
			bus.Close()
			return nil, err
		}
	}
	_ = socket.SetDeadline(time.Time{})
	bus.Signal(conn.signals)
	return conn, nil
}

// dial answers EAGAIN, a full backlog of a busy bus, with patience.
func (c candidate) dial(ctx context.Context) (net.Conn, error) {
	name := c.path
	if !strings.HasPrefix(name, "@") {
		fd, err := c.open()
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		name = fmt.Sprintf("/proc/self/fd/%d", fd)
	}
	for wait := time.Millisecond; ; wait *= 2 {
		socket, err := (&net.Dialer{}).DialContext(ctx, "unix", name)
		if err == nil || !errors.Is(err, unix.EAGAIN) || wait > time.Second {
			return socket, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(wait):
		}
	}
}

func (c candidate) open() (int, error) {
	if c.directory != "" {
		if err := c.checkDirectory(); err != nil {
			return -1, err
		}
	}
	fd, err := unix.Open(c.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := c.checkOwner(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (c candidate) checkOwner(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return errors.New("is not a socket")
	case c.owner != anyone && int(st.Uid) != c.owner:
		return fmt.Errorf("belongs to uid %d, not %d", st.Uid, c.owner)
	}
	return nil
}

// checkDirectory gives the clearer message: the sockets in another user's
// directory could not even be looked at.
func (c candidate) checkDirectory() error {
	var st unix.Stat_t
	if err := unix.Stat(c.directory, &st); err != nil {
		return err
	}
	if int(st.Uid) != c.owner {
		return fmt.Errorf("%s belongs to uid %d, not %d", path.Base(c.directory), st.Uid, c.owner)
	}
	return nil
}

// plain words an error for a line with many reasons.
func plain(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within " + connectLimit.String()
	}
	return safe(err.Error())
}
