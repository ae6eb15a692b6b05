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
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/descriptor"
	"golang.org/x/sys/unix"
)

// A socket that can be connected to is no service manager yet: a session bus
// that dbus-run-session made has none, and a stale one says nothing. So each
// candidate is asked for the manager's version, but one that is trusted, of which the
// first request finds that out (see Attempt.Wait); and each has limits of its own in
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
	*wire
	at      candidate
	version int // the manager's; 0 when it was not asked, or cannot be read
	// takesFDs: the other side takes descriptors.
	takesFDs bool
	// hello and asked are the serial numbers of the first two calls. hello is 0 where
	// nobody is in between, and once it was answered.
	hello, asked uint32
	// unproven is what the connection comes from, as long as it is trusted and no manager
	// has answered.
	unproven *Attempt
	// results are those of jobs that have ended, as far as they were watched.
	results map[dbus.ObjectPath]string
	// pidfd is open for as long as a request with it may be under way.
	pidfd int
}

// Attempt is a connection that is being made.
type Attempt struct {
	place   Place
	reasons []string
	// left are the candidates that were not asked yet.
	left []candidate
	// first is the connection to the first candidate, which has yet to answer; nil where
	// there is none.
	first *Conn
}

func newAttempt(p Place) *Attempt {
	a := &Attempt{place: p}
	a.left, a.reasons = p.candidates()
	return a
}

// next takes a candidate that was not asked yet. There must be one.
func (a *Attempt) next() (c candidate) {
	c, a.left = a.left[0], a.left[1:]
	return c
}

// Connect connects to the manager: $DBUS_SESSION_BUS_ADDRESS,
// $XDG_RUNTIME_DIR/bus, /run/user/UID/bus, then the private sockets; for root of
// the first user namespace the system bus. The first at which a manager answers
// is taken. The *fault.Error of a failure says what was wrong with each. Close the
// Conn in the end.
func Connect(ctx context.Context, p Place) (*Conn, error) { return newAttempt(p).goOn(ctx) }

// Begin asks the first candidate, and does not wait for its answer. Wait, or Close,
// comes after it.
func Begin(ctx context.Context, p Place) *Attempt {
	a := newAttempt(p)
	if len(a.left) > 0 {
		c := a.next()
		conn, err := c.ask(ctx, a)
		if err != nil {
			a.note(c, err)
		}
		a.first = conn
	}
	return a
}

// Wait waits for the answer of the first candidate at which a manager is, as Connect
// has it. A bus that systemd itself listens for is trusted to have it: that one is not
// waited for. Should it have none all the same, the first request finds out, and goes to
// who answers.
func (a *Attempt) Wait(ctx context.Context) (*Conn, error) {
	conn := a.first
	a.first = nil
	switch {
	case conn == nil:
		return a.goOn(ctx)
	case conn.unproven != nil:
		return conn, nil
	}
	err := conn.meet(ctx)
	if err == nil {
		return conn, nil
	}
	a.note(conn.at, err)
	return a.goOn(ctx)
}

// goOn asks the candidates that are left.
func (a *Attempt) goOn(ctx context.Context) (*Conn, error) {
	for len(a.left) > 0 {
		c := a.next()
		conn, err := c.ask(ctx, nil)
		if err == nil {
			err = conn.meet(ctx)
		}
		if err == nil {
			return conn, nil
		}
		a.note(c, err)
	}
	return nil, because("connect to the service manager", "", strings.Join(a.reasons, "; "), a.place.hint())
}

// note keeps why a candidate was not taken.
func (a *Attempt) note(c candidate, err error) {
	if reason := c.path + ": " + plain(err); !slices.Contains(a.reasons, reason) {
		a.reasons = append(a.reasons, reason)
	}
}

// Close gives up what was begun and not waited for. That of nil does nothing.
func (a *Attempt) Close() {
	if a != nil && a.first != nil {
		a.first.Close()
		a.first = nil
	}
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

// Version is the manager's, as in 257; 0 where it cannot be read, or was not asked for
// by Connect.
func (c *Conn) Version() int { return c.version }

// Prove waits for the manager's answer, if it has said nothing yet. Errors are those of
// Connect.
func (c *Conn) Prove(ctx context.Context) error {
	if c.unproven == nil {
		return nil
	}
	_, err := c.property(ctx, object, "Manager", "Version")
	if _, refused := asRefusal(err); refused { // by a manager, then
		return nil
	}
	return err
}

// elsewhere goes on to the candidates that are left, from one that was trusted and does
// not answer, or has no manager: the connection is another one then, and errMoved says
// that what was asked has to be asked again.
func (c *Conn) elsewhere(ctx context.Context, err error) error {
	a := c.unproven
	if a == nil || ctx.Err() != nil {
		return err
	}
	a.note(c.at, err)
	other, err := a.goOn(ctx)
	if err != nil {
		return err
	}
	c.Close()
	*c = *other
	return errMoved
}

// errMoved is no failure: see elsewhere.
var errMoved = errors.New("the service manager is at another socket")

// Close ends the connection.
func (c *Conn) Close() {
	descriptor.Close(&c.pidfd)
	c.close()
}

// ask connects, and asks who is there. The private socket is asked when it has let us
// in; and a bus that is trusted not at all: what says hello goes with the first request. A
// bus may be trusted by the attempt that knows where else to go; nil for none.
func (c candidate) ask(ctx context.Context, mayTrust *Attempt) (*Conn, error) {
	conn := &Conn{wire: &wire{}, at: c, pidfd: -1}
	var err error
	if conn.fd, err = c.dial(ctx); err != nil {
		return nil, err
	}
	out := bytes.NewBufferString(authentication)
	if !c.private {
		err = conn.addHello(out)
	}
	switch {
	case err != nil:
	case mayTrust != nil && !c.private && conn.isListenedForBySystemd():
		conn.unproven, conn.unsent = mayTrust, out.Bytes()
		return conn, nil
	case !c.private:
		err = conn.addQuestion(out)
	}
	if err == nil {
		err = conn.write(ctx, out.Bytes())
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *Conn) addHello(out *bytes.Buffer) (err error) {
	c.hello, err = c.add(out, methodCall("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Hello"))
	return err
}

// addQuestion adds the call that a manager must answer.
func (c *Conn) addQuestion(out *bytes.Buffer) (err error) {
	c.asked, err = c.add(out, get(object, "Manager", "Version"))
	return err
}

// meet reads the answers to what was asked. On an error the connection is closed.
func (c *Conn) meet(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if err := c.greeted(ctx); err != nil {
		return err
	}
	if c.at.private {
		var out bytes.Buffer
		if err := c.addQuestion(&out); err != nil {
			return err
		}
		if err := c.write(ctx, out.Bytes()); err != nil {
			return err
		}
	}
	return c.learnVersion(ctx)
}

// greeted reads that we are let in, and a bus's answer to Hello.
func (c *Conn) greeted(ctx context.Context) (err error) {
	limit := connectLimit
	if c.at.private {
		limit = answerLimit
	}
	hello := c.hello
	c.hello = 0
	if c.takesFDs, err = c.authenticated(ctx, time.Now().Add(limit)); err == nil && hello != 0 {
		_, err = c.reply(ctx, hello, limit)
	}
	return err
}

func (c *Conn) learnVersion(ctx context.Context) error {
	body, err := c.answer(ctx, c.asked, answerLimit)
	if err != nil {
		return err
	}
	var answer dbus.Variant
	if err := dbus.Store(body, &answer); err != nil {
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

// dial connects a socket, which does not block.
func (c candidate) dial(ctx context.Context) (int, error) {
	name := c.path
	if !strings.HasPrefix(name, "@") {
		fd, err := c.open()
		if err != nil {
			return -1, err
		}
		defer unix.Close(fd)
		name = descriptor.Path(fd)
	}
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	socket, err := descriptor.Connect(ctx, name)
	if err != nil {
		return -1, err
	}
	return socket, unix.SetNonblock(socket, true)
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
		return "no answer in time"
	}
	name, text := details(err)
	if known, ok := meanings()[name]; ok {
		return known.reason
	}
	return safe(text)
}
