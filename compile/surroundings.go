package compile

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// surroundings adds to config.json what the container gets beside it: the
// listening descriptors of the caller's service manager, the socket for its
// notifications, and the files of its network. The caller's config stays as it
// is.
func (c *compiler) surroundings() {
	c.passDescriptors()
	c.relayNotifications()
	c.mountNetworkFiles()
}

// passDescriptors passes socket-activated descriptors on: sd_listen_fds(3). Those
// of --preserve-fds come after them. The program finds itself meant as process 1
// of a PID namespace, or beside a reaper as the next one. None are counted when config.json's env has LISTEN_FDS
// already: an engine (podman) that says so there has counted them in
// --preserve-fds.
func (c *compiler) passDescriptors() {
	listen := c.facts.Listen
	if listen.Count == 0 || hasVariable(c.spec.Process.Env, "LISTEN_FDS") {
		return
	}
	c.wishes.Preserve += listen.Count
	c.setVariable("LISTEN_FDS", strconv.Itoa(listen.Count))
	c.setVariable("LISTEN_PID", c.programsID())
	if listen.Names != "" {
		c.setVariable("LISTEN_FDNAMES", listen.Names)
	}
}

// programsID is the program's process id in a PID namespace that is made for it.
func (c *compiler) programsID() string {
	if c.wishes.Reaper {
		return strconv.Itoa(programID)
	}
	return "1"
}

// Where a container finds the socket for notifications, and the variable that
// names it.
const (
	NotifyDirectory = "notify" // in the container's directory
	NotifyMount     = "/run/notify"
	notifyVariable  = "NOTIFY_SOCKET"
)

// relayNotifications gives the container a socket whose messages the runtime
// passes on, unless config.json names one itself, or nobody listens to us: the
// variable is the caller's surroundings, not what was asked for.
func (c *compiler) relayNotifications() {
	n := c.facts.Notify
	switch {
	case n.Socket == "" || hasVariable(c.spec.Process.Env, notifyVariable):
		return
	case n.Trouble != "":
		c.warn("%s; the container runs without one", n.Trouble)
		return
	}
	c.relays = true
	c.mountOwn(NotifyDirectory, NotifyMount, host.Directory, "bind", "ro", "nosuid", "nodev", "noexec")
	c.setVariable(notifyVariable, NotifyMount+"/"+systemd.NotifySocketName)
	c.askForLife()
}

// askForLife passes on that the service manager waits for WATCHDOG=1, where the runtime
// stays to pass that on, too: sd_watchdog_enabled(3). Who has another number, as a shell's
// child, is not meant, as outside; in a PID namespace of others init's number is not known.
func (c *compiler) askForLife() {
	n := c.facts.Notify
	if n.Watchdog == "" || c.wishes.Create || c.wishes.Detached || hasVariable(c.spec.Process.Env, "WATCHDOG_USEC") {
		return
	}
	c.setVariable("WATCHDOG_USEC", n.Watchdog)
	if slices.ContainsFunc(c.spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.PIDNamespace && ns.Path == "" }) {
		c.setVariable("WATCHDOG_PID", c.programsID())
	}
}

// mountNetworkFiles mounts resolv.conf and hosts over the root's. They are read-only where
// that is, as with docker and podman.
func (c *compiler) mountNetworkFiles() {
	if c.wishes.Network == nil {
		return
	}
	for _, name := range netns.Files() {
		target := c.facts.NetworkFiles[name]
		switch {
		case mounts(c.spec.Mounts, name):
		case target == "":
			if c.wishes.Network.Notes {
				c.note("the root has no %s and cannot be written, so the container has none", name)
			}
		default:
			own := name[len("/etc/"):]
			c.networkFiles = append(c.networkFiles, own)
			if c.spec.Root.Readonly {
				c.mountOwn(own, target, host.Regular, "bind", "ro", "nosuid", "nodev", "noexec")
				continue
			}
			c.result.Copied = append(c.result.Copied, c.mountOwn(own, target, host.Regular, "bind"))
		}
	}
}

// mounts reports whether config.json itself puts something there.
func mounts(list []specs.Mount, name string) bool {
	return slices.ContainsFunc(list, func(m specs.Mount) bool {
		d := path.Clean(m.Destination)
		return d == name || d == path.Dir(name)
	})
}

// mountOwn mounts a file or directory of the container's own directory, which the
// runtime makes before the plan runs: source.
func (c *compiler) mountOwn(name, destination string, kind host.Kind, options ...string) (source string) {
	source = c.wishes.StateDir + "/" + name
	c.spec.Mounts = append(slices.Clip(c.spec.Mounts), specs.Mount{Destination: destination, Type: "bind", Source: source, Options: options})
	if c.ownSources == nil {
		c.ownSources = map[string]host.Source{}
	}
	c.ownSources[source] = host.Source{Path: source, Kind: kind}
	return source
}

// setVariable adds a variable to the program's environment.
func (c *compiler) setVariable(name, value string) {
	p := *c.spec.Process
	p.Env = append(slices.Clip(p.Env), name+"="+value)
	c.spec.Process = &p
}

func hasVariable(env []string, name string) bool {
	return slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
}
