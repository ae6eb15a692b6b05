package look

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/doctor"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/systemd/bus"
)

// answerLimit is how long a program may take to say what it is.
const answerLimit = 5 * time.Second

// firstLine is what a program prints first; empty where it is none, or fails.
func firstLine(ctx context.Context, program string, args ...string) string {
	line, _ := ask(ctx, program, args...)
	return line
}

// ask is the same, and why it fails.
func ask(ctx context.Context, program string, args ...string) (string, error) {
	if program == "" {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Env, c.Dir, c.WaitDelay = []string{}, "/", time.Second
	out, err := c.Output()
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}

// packageVersion is that of an installed package, for programs that do not know theirs.
func (l *Looker) packageVersion(ctx context.Context, name string) string {
	if version := firstLine(ctx, l.program("dpkg-query"), "-W", "-f=${Version}", name); version != "" {
		return version
	}
	return firstLine(ctx, l.program("rpm"), "-q", "--qf", "%{VERSION}", name)
}

func (l *Looker) network(ctx context.Context) doctor.Network {
	// Drivers open it so, too; a device is made only by what they do next.
	n := doctor.Network{Tun: l.opens("/dev/net/tun", unix.O_RDWR), PingGroups: strings.TrimSpace(l.read("/proc/sys/net/ipv4/ping_group_range")),
		FirstPort: strings.TrimSpace(l.read("/proc/sys/net/ipv4/ip_unprivileged_port_start"))}
	for name, p := range map[string]*doctor.Program{"pasta": &n.Pasta, "slirp4netns": &n.Slirp, "nsenter": &n.Nsenter} {
		if p.Path = l.program(name); p.Path == "" {
			continue
		}
		var err error
		if p.Version, err = ask(ctx, l.path(p.Path), "--version"); err != nil {
			p.Trouble = err.Error()
		} else if name == "pasta" && (p.Version == "" || strings.Contains(p.Version, "unknown")) { // Debian's says nothing to a pipe, or that
			p.Version = l.packageVersion(ctx, "passt")
		}
	}
	n.TunDriver = l.exists("/sys/class/misc/tun")
	return n
}

// manager asks the service manager who it is.
func (l *Looker) manager(ctx context.Context, f *host.Facts) doctor.Manager {
	place := bus.NewPlace(f, l.Getenv)
	m := doctor.Manager{Own: place.System}
	for _, dir := range []string{"/etc/systemd/user/", "/usr/lib/systemd/user/", "/lib/systemd/user/"} {
		if l.exists(dir + "dbus.socket") {
			m.BusUnit = dir + "dbus.socket"
			break
		}
	}
	conn, err := bus.Connect(ctx, place)
	for range 3 {
		if err != nil || !isPrivate(conn) {
			break
		}
		// A bus that our question has started may not know the manager yet.
		conn.Close()
		time.Sleep(500 * time.Millisecond)
		conn, err = bus.Connect(ctx, place)
	}
	if err != nil {
		m.Trouble, _, _ = strings.Cut(err.Error(), "\n")
		m.Trouble = strings.TrimPrefix(m.Trouble, "systemd: connect to the service manager: ")
		return m
	}
	defer conn.Close()
	m.Socket, m.Version = conn.Socket(), conn.Version()
	if isPrivate(conn) {
		socket := strings.TrimSuffix(m.Socket, "systemd/private") + "bus"
		m.Trouble = socket + " does not answer"
		if _, err := os.Lstat(socket); err != nil {
			m.Trouble = "there is no " + socket
		}
	}
	return m
}

// isPrivate reports whether no bus is in between.
func isPrivate(c *bus.Conn) bool { return strings.HasSuffix(c.Socket(), "/systemd/private") }
