package bus

import (
	"errors"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/systemd"
	"golang.org/x/sys/unix"
)

// A process id is a number of one PID namespace. To a manager in another it
// means another process, which it would move into the scope and, when that
// ends, kill. A descriptor means the same process to everybody; systemd takes
// one since version 255 (core/dbus-scope.c, "PIDFDs"). A number is sent to an
// older one, and only when it shares our PID namespace.
const pidfdVersion = 255

// errForeign explains why no number is sent.
var errForeign = errors.New("the service manager is in another PID namespace, where the container's process has another number, " +
	"and takes no descriptor for it (systemd 255 does)")

func (c *Conn) takesPidfds() bool { return c.version >= pidfdVersion && c.takesFDs }

// CanPlace returns nil when the manager can be told which of the caller's
// processes a scope is for, and else the reason why not.
func (c *Conn) CanPlace() error {
	if c.unproven != nil || c.takesPidfds() {
		return nil
	}
	return c.sharesNumbers()
}

// withProcess names the process to the manager, in place of those named before.
func (c *Conn) withProcess(list []systemd.Property, process int) ([]systemd.Property, error) {
	if process == 0 {
		return list, nil
	}
	p, err := c.processProperty(process)
	if err != nil {
		return nil, err
	}
	named := func(p systemd.Property) bool { return p.Name == "PIDs" || p.Name == "PIDFDs" }
	return append(slices.DeleteFunc(slices.Clone(list), named), p), nil
}

func (c *Conn) processProperty(process int) (systemd.Property, error) {
	number := systemd.Property{Name: "PIDs", Value: []uint32{uint32(process)}}
	if c.unproven != nil {
		return number, nil
	}
	if !c.takesPidfds() {
		return number, c.sharesNumbers()
	}
	fd, err := unix.PidfdOpen(process, 0)
	if err != nil {
		return systemd.Property{}, err
	}
	c.pidfd = fd
	return systemd.Property{Name: "PIDFDs", Value: []dbus.UnixFD{dbus.UnixFD(fd)}}, nil
}

// isListenedForBySystemd reports whether who listens on the socket is systemd, in the
// caller's PID namespace: it has made the socket of the bus that it is on (sd_listen_fds(3)).
func (c *Conn) isListenedForBySystemd() bool {
	status, err := c.listener()
	return err == nil && isSystemd(status)
}

// isSystemd reads proc_pid_status(5). Another name that begins so is another program's.
func isSystemd(status string) bool {
	return hasOneNumber(status) && strings.HasPrefix(status, "Name:\tsystemd\n")
}

// sharesNumbers returns nil when who listens on the socket, and so its manager,
// is in the caller's PID namespace. The kernel gives the listener's id as the
// caller would see it (unix(7), SO_PEERCRED): 0 if the listener is not in the
// caller's namespace or one below. One below has a number in each.
func (c *Conn) sharesNumbers() error {
	status, err := c.listener()
	if err != nil {
		return err
	}
	if !hasOneNumber(status) {
		return errForeign
	}
	return nil
}

// listener is the status of the process that listens on the socket: proc_pid_status(5);
// empty where it cannot be seen.
func (c *Conn) listener() (status string, err error) {
	pid, err := c.peer()
	if err != nil || pid == 0 {
		return "", err
	}
	return proc.Status(pid), nil
}

// peer is the process id of who listens on the socket; 0 where it has none here.
func (c *Conn) peer() (int, error) {
	peer, err := unix.GetsockoptUcred(c.fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return int(peer.Pid), nil
}

// hasOneNumber reads proc_pid_status(5): NSpid lists a process's id in each PID
// namespace from /proc's own down to the process's.
func hasOneNumber(status string) bool {
	_, rest, found := strings.Cut(status, "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	return found && len(strings.Fields(line)) == 1
}
