// Package bus talks to a systemd manager over D-Bus: it finds the one whom the
// caller's containers belong to, has it start, change and stop scopes, and asks
// what it knows. What is asked for, package systemd says. The interface is
// documented in org.freedesktop.systemd1(5).
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
package bus

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// A socket that can be connected to is no service manager yet: a session bus
// that dbus-run-session made has none, and a stale one says nothing. So each
// candidate is asked for the manager's version, and has limits of its own in
// time: connectLimit for the bus, which has nothing else to do, and answerLimit
// for the manager, which may be reading all its unit files. Everything else ends
// with its context, which gets callLimit where it has no deadline.
const (
	connectLimit = 5 * time.Second
	answerLimit  = 10 * time.Second
	callLimit    = 30 * time.Second
)

// Conn is a connection to a service manager. It is for one goroutine at a time.
type Conn struct {
	bus     *dbus.Conn
	at      candidate
	version int // the manager's; 0 when it cannot be read
	signals chan *dbus.Signal
	// pidfd is open for as long as a request with it may be under way.
	pidfd int
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
// the first user namespace the system bus. The first at which a manager answers
// is taken. The *fault.Error of a failure says what was wrong with each. Close the
// Conn in the end.
func Connect(ctx context.Context, p Place) (*Conn, error) {
	list, reasons := p.candidates()
	for _, c := range list {
		conn, err := c.connect(ctx)
		if err == nil {
			return conn, nil
		}
		if reason := c.path + ": " + plain(err); !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return nil, because("connect to the service manager", "", strings.Join(reasons, "; "), p.hint())
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
func (c *Conn) Socket() string { return c.at.path }

// Close ends the connection; calls that wait return with an error.
func (c *Conn) Close() error {
	if c.pidfd >= 0 {
		unix.Close(c.pidfd)
		c.pidfd = -1
	}
	return c.bus.Close()
}

// connect connects, and has the manager answer a call.
func (c candidate) connect(ctx context.Context) (*Conn, error) {
	limit := connectLimit
	if c.private {
		limit = answerLimit
	}
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	bus, err := c.dial(short)
	if err != nil {
		return nil, err
	}
	conn := &Conn{bus: bus, at: c, pidfd: -1, signals: make(chan *dbus.Signal, 64)}
	// godbus's handshake knows no deadline: it ends with the connection.
	stop := context.AfterFunc(short, func() { bus.Close() })
	err = conn.greet()
	if !stop() {
		err = short.Err()
	}
	if err == nil {
		err = conn.askVersion(ctx)
	}
	if err != nil {
		bus.Close()
		return nil, err
	}
	bus.Signal(conn.signals)
	return conn, nil
}

func (c *Conn) greet() error {
	if err := c.bus.Auth([]dbus.Auth{externalAuth{}}); err != nil || c.at.private {
		return err
	}
	return c.bus.Hello()
}

// askVersion is the call that a manager must answer. None is started for it:
// where systemd is not on the bus, its entry for that only says so.
func (c *Conn) askVersion(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	var answer dbus.Variant
	err := c.bus.Object(destination, object).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart,
		strings.TrimSuffix(manager, "."), "Version").Store(&answer)
	if err != nil {
		return err
	}
	text, _ := answer.Value().(string)
	c.version = versionNumber(text)
	return nil
}

// versionNumber reads "257.9-1~deb13u1", and "v258-rc1"; 0 is neither.
func versionNumber(text string) int {
	text = strings.TrimPrefix(text, "v")
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		text = text[:end]
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// dial answers EAGAIN, a full backlog of a busy bus, with patience.
func (c candidate) dial(ctx context.Context) (*dbus.Conn, error) {
	address := "unix:abstract=" + dbus.EscapeBusAddressValue(strings.TrimPrefix(c.path, "@"))
	if !strings.HasPrefix(c.path, "@") {
		fd, err := c.open()
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		address = "unix:path=" + fdPath(fd)
	}
	for wait := time.Millisecond; ; wait *= 2 {
		bus, err := dbus.Dial(address)
		if err == nil || !errors.Is(err, unix.EAGAIN) || wait > time.Second {
			return bus, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(wait):
		}
	}
}

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

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
		return "no answer in time"
	}
	name, text := details(err)
	if known, ok := meanings()[name]; ok {
		return known.reason
	}
	return safe(text)
}
