package bus

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/host"
)

// Place says where a service manager may be reached. It is a plain value, so
// that tests can bring their own bus.
type Place struct {
	// System is true for root of the first user namespace: the system manager.
	System bool
	// UID is the own uid as this user namespace has it; sockets of a session
	// must belong to it.
	UID int
	// HostUID is the user's uid on the host, as in /run/user/1000.
	HostUID int
	// SessionAddress is $DBUS_SESSION_BUS_ADDRESS, RuntimeDir $XDG_RUNTIME_DIR.
	SessionAddress, RuntimeDir string
	// Run is /run when empty.
	Run string
}

// NewPlace reads the place from the facts and an environment.
func NewPlace(facts *host.Facts, getenv func(string) string) Place {
	return Place{
		System:         facts.Process.UID == 0 && facts.UserNamespace.Initial,
		UID:            facts.Process.UID,
		HostUID:        facts.UserNamespace.OwnerUID,
		SessionAddress: getenv("DBUS_SESSION_BUS_ADDRESS"),
		RuntimeDir:     getenv("XDG_RUNTIME_DIR"),
	}
}

// candidate is one socket to try.
type candidate struct {
	// path is absolute, or starts with @ in the abstract namespace.
	path string
	// private is systemd's own socket, where nobody is in between: no Hello.
	private bool
	// owner is the uid that the socket must have, or anyone.
	owner int
	// directory, when set, must belong to owner as well.
	directory string
}

const anyone = -1

// candidates lists the sockets in the order in which they are tried: a bus
// before systemd's private socket, which is slower (systemd sets up a whole API
// connection and sends it every signal) and no public interface, but is there
// when no dbus-daemon runs for the user. notes says what was left out and why.
func (p Place) candidates() (list []candidate, notes []string) {
	run := p.Run
	if run == "" {
		run = "/run"
	}
	system := []candidate{
		{path: run + "/dbus/system_bus_socket", owner: anyone},
		{path: run + "/systemd/private", private: true, owner: anyone},
	}
	if p.System {
		return system, nil
	}
	list, notes = p.session()
	directories := []string{run + "/user/" + strconv.Itoa(p.HostUID)}
	if p.RuntimeDir != "" && p.RuntimeDir != directories[0] {
		directories = []string{strings.TrimSuffix(p.RuntimeDir, "/"), directories[0]}
	}
	for _, d := range directories {
		list = append(list, candidate{path: d + "/bus", owner: p.UID, directory: d})
	}
	for _, d := range directories {
		list = append(list, candidate{path: d + "/systemd/private", private: true, owner: p.UID, directory: d})
	}
	if p.UID == 0 {
		// Root of a container that runs a systemd of its own. The host's, whose
		// owner has no id here, takes no orders from us.
		list = append(list, candidate{path: system[0].path, owner: p.UID})
	}
	return distinct(list), notes
}

// distinct leaves out what comes again: a socket that does not answer would be
// waited for twice.
func distinct(list []candidate) []candidate {
	var kept []candidate
	for _, c := range list {
		if !slices.ContainsFunc(kept, func(have candidate) bool { return have.path == c.path }) {
			kept = append(kept, c)
		}
	}
	return kept
}

// session reads $DBUS_SESSION_BUS_ADDRESS.
func (p Place) session() (list []candidate, notes []string) {
	for _, address := range strings.Split(p.SessionAddress, ";") {
		if address == "" {
			continue
		}
		socket, err := socketOf(address, p.RuntimeDir)
		if err != nil {
			notes = append(notes, "DBUS_SESSION_BUS_ADDRESS: "+err.Error())
			continue
		}
		list = append(list, candidate{path: socket, owner: p.UID})
	}
	return list, notes
}

// socketOf takes the socket out of a D-Bus address ("Server Addresses" of the
// D-Bus specification). Only unix: is taken; autolaunch: and unixexec: would
// start programs.
func socketOf(address, runtimeDir string) (string, error) {
	transport, keys, _ := strings.Cut(address, ":")
	if transport != "unix" {
		return "", errors.New("transport " + strconv.Quote(transport) + " is not used")
	}
	for _, pair := range strings.Split(keys, ",") {
		key, escaped, _ := strings.Cut(pair, "=")
		v, err := url.PathUnescape(escaped)
		if err != nil || strings.Contains(v, "\x00") {
			return "", errors.New("cannot be read")
		}
		switch {
		case key == "path" && strings.HasPrefix(v, "/"):
			return v, nil
		case key == "abstract" && v != "":
			return "@" + v, nil
		case key == "runtime" && v == "yes" && runtimeDir != "":
			return runtimeDir + "/bus", nil
		}
	}
	return "", errors.New("names no socket")
}
