package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// Notify tells the service manager that started us (NOTIFY_SOCKET) something in
// its own words, as "READY=1" or "STATUS=...\nERRNO=2". sent is false when
// nobody asked for it.
func Notify(state string) (sent bool, err error) {
	sent, err = daemon.SdNotify(false, state)
	if err != nil {
		return false, fmt.Errorf("systemd: notify: %w", err)
	}
	return sent, nil
}

// RelaySocket is the name of a relay's socket in its directory, which is bind
// mounted into the container; NOTIFY_SOCKET there is the mount's path and this
// name.
const RelaySocket = "notify.sock"

const (
	// maxMessage is what systemd itself reads of a datagram (PIPE_BUF), with
	// room to notice more.
	maxMessage = 8192
	// maxFDs is the kernel's limit per message (SCM_MAX_FD).
	maxFDs = 253
)

// Relay passes the notifications of a container on to the service manager,
// one datagram for one, so that they come from our own process as
// NotifyAccess=main wants it. File descriptors (FDSTORE=1, BARRIER=1) travel
// along; our copies are closed at once, so a barrier ends when the manager has
// worked off what came before.
//
// The container cannot speak for more than itself: MAINPID, whose number means
// something else outside, and NOTIFYACCESS, which would let others speak, are
// left out.
type Relay struct {
	socket   *net.UnixConn
	upstream *net.UnixConn
	name     string
	mainPID  int
}

// NewRelay binds the socket in a directory, for any user to write to, and
// connects to the service manager's socket ($NOTIFY_SOCKET: a path, or @name in
// the abstract namespace). mainPID, if not 0, is sent as MAINPID along with
// READY=1: a service manager takes it only for a process inside of the unit's
// own cgroup. Close it in the end.
func NewRelay(directory, upstream string, mainPID int) (*Relay, error) {
	if !strings.HasPrefix(upstream, "/") && !strings.HasPrefix(upstream, "@") {
		return nil, fmt.Errorf("systemd: notify: NOTIFY_SOCKET %q is neither a path nor an abstract name", upstream)
	}
	up, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: upstream, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("systemd: notify: %s: %s", upstream, plain(err))
	}
	name := filepath.Join(directory, RelaySocket)
	socket, err := listen(directory)
	if err == nil {
		err = os.Chmod(name, 0o777)
	}
	if err != nil {
		up.Close()
		return nil, fmt.Errorf("systemd: notify: %s: %w", name, err)
	}
	return &Relay{socket: socket, upstream: up, name: name, mainPID: mainPID}, nil
}

// listen binds through the directory's descriptor: a socket's path may have
// 107 bytes, and state directories are deeper.
func listen(directory string) (*net.UnixConn, error) {
	dir, err := os.Open(directory)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	name := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), RelaySocket)
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
}

// SetMainPID gives the process that is sent as MAINPID along with READY=1, for
// one that was not there yet when the socket had to be. Call it before Serve.
func (r *Relay) SetMainPID(pid int) { r.mainPID = pid }

// Drain passes on what is in the socket now, and does not wait for more.
func (r *Relay) Drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	for {
		// A deadline in the past would end a read that could be served.
		if err := r.socket.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			return fmt.Errorf("systemd: notify: %w", err)
		}
		message, fds, err := r.receive()
		if err != nil {
			return nil
		}
		if err := r.pass(ctx, r.translate(message), fds); err != nil {
			return err
		}
	}
}

// drainLimit is how long a manager may keep what is left waiting.
const drainLimit = 2 * time.Second

// Close removes the socket and ends Serve.
func (r *Relay) Close() error {
	_ = os.Remove(r.name)
	return errors.Join(r.socket.Close(), r.upstream.Close())
}

// Serve relays until ctx ends (its error is returned) or until, called with
// each datagram that was passed on, says that it is enough (nil is returned).
// until may be nil. `run` serves as long as the container lives; `start` until
// Ready.
func (r *Relay) Serve(ctx context.Context, until func(message string) bool) error {
	stop := context.AfterFunc(ctx, func() { _ = r.socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		message, fds, err := r.receive()
		if ctx.Err() != nil {
			closeFDs(fds)
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("systemd: notify: %w", err)
		}
		passed := r.translate(message)
		if err := r.pass(ctx, passed, fds); err != nil {
			return err
		}
		if until != nil && until(passed) {
			return nil
		}
	}
}

// Ready is true for a message that says READY=1: the until of `start`.
func Ready(message string) bool {
	for line := range strings.Lines(message) {
		if strings.TrimSuffix(line, "\n") == "READY=1" {
			return true
		}
	}
	return false
}

func (r *Relay) receive() (message string, fds []int, err error) {
	data := make([]byte, maxMessage)
	control := make([]byte, unix.CmsgSpace(4*maxFDs))
	n, controls, flags, _, err := r.socket.ReadMsgUnix(data, control)
	if err != nil {
		return "", nil, err
	}
	fds = rights(control[:controls])
	if flags&unix.MSG_TRUNC != 0 {
		// systemd ignores what is too long, too.
		closeFDs(fds)
		return "", nil, nil
	}
	return string(data[:n]), fds, nil
}

// rights takes the descriptors out of a control message; Go received them
// close-on-exec.
func rights(control []byte) []int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	var fds []int
	for _, m := range messages {
		more, err := unix.ParseUnixRights(&m)
		if err == nil {
			fds = append(fds, more...)
		}
	}
	return fds
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// isPrivate tells the container's word about things outside of it.
func isPrivate(key string) bool {
	return slices.Contains([]string{"MAINPID", "MAINPIDFD", "MAINPIDFDID", "NOTIFYACCESS"}, key)
}

// translate drops what the container may not say, and adds our MAINPID.
func (r *Relay) translate(message string) string {
	var lines []string
	for line := range strings.Lines(message) {
		line = strings.TrimSuffix(line, "\n")
		key, _, _ := strings.Cut(line, "=")
		if line != "" && !isPrivate(key) {
			lines = append(lines, line)
		}
	}
	if r.mainPID != 0 && Ready(message) {
		lines = append(lines, fmt.Sprintf("MAINPID=%d", r.mainPID))
	}
	return strings.Join(lines, "\n")
}

// pass sends a datagram on and closes the descriptors. A manager whose queue is
// full makes us wait, and the container behind us, but not beyond ctx.
func (r *Relay) pass(ctx context.Context, message string, fds []int) error {
	defer closeFDs(fds)
	if message == "" {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = r.upstream.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	var control []byte
	if len(fds) > 0 {
		control = unix.UnixRights(fds...)
	}
	if err := send(r.upstream, []byte(message), control); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("systemd: notify: pass on: %s", plain(err))
	}
	return nil
}

// send is sendmsg(2) on a connected datagram socket, which WriteMsgUnix refuses.
func send(socket *net.UnixConn, message, control []byte) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendmsg(int(fd), message, control, nil, unix.MSG_NOSIGNAL)
		return sendErr != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return sendErr
}
