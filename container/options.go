package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/container/output"
	"github.com/homerun-oci/homerun/netns/client"
	"github.com/homerun-oci/homerun/proc/siblings"
	"github.com/homerun-oci/homerun/seccomp/compiler"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// Options say where a Runtime keeps containers, and how it makes them.
// [DefaultOptions] has those of the homerun command.
type Options struct {
	// Root is the state root, absolute.
	Root string
	// Manager says who makes cgroups; empty for cgroupv2.Auto.
	Manager Manager
	// NotifySocket is where the service manager hears that a service is ready
	// ($NOTIFY_SOCKET); empty without one.
	NotifySocket string
	// Watchdog is how often it wants to hear from the program, in microseconds
	// ($WATCHDOG_USEC); empty where that is not for this process.
	Watchdog string
	// OfUnit says that a service manager has started this very process, as what a unit
	// runs ($SYSTEMD_EXEC_PID, systemd 248). Then a container outside of the unit is
	// warned of.
	OfUnit bool
	// Cache is a directory for compiled seccomp profiles, absolute. Empty: they
	// are compiled each time.
	Cache string
	// Helpers are the programs that do what this one cannot.
	Helpers Helpers
	// TimerSlack is that of the programs that are started, in nanoseconds: prctl(2),
	// PR_SET_TIMERSLACK. With 0 they have that of the calling process's threads, which
	// may differ.
	TimerSlack int
	// OpenFiles is the limit on open files (RLIMIT_NOFILE) of the programs that are started,
	// unless config.json has one. With nil it is what the calling process began with, which
	// package syscall knows, and starts take a little longer. So it is, whatever this says,
	// on machines other than amd64 and where clone3(2) is refused.
	OpenFiles *unix.Rlimit
	// Warn receives what is ignored or worked around, one line each; nil drops
	// it. So do the other two.
	Warn func(string)
	// Note receives what was decided without being asked.
	Note func(string)
	// Debug receives what was decided, and each step of a plan as it begins.
	Debug func(string)
}

// DefaultOptions are those of the homerun command: the user's own state root and
// cache, and the service manager's socket. environment is os.Getenv.
func DefaultOptions(environment func(string) string) Options {
	root, own := store.DefaultRoot(environment), strconv.Itoa(os.Getpid())
	o := Options{Root: root, Cache: store.DefaultCache(root), NotifySocket: environment("NOTIFY_SOCKET"), OfUnit: environment("SYSTEMD_EXEC_PID") == own}
	if pid := environment("WATCHDOG_PID"); pid == "" || pid == own {
		o.Watchdog = environment("WATCHDOG_USEC")
	}
	return o
}

// Manager says who makes cgroups: cgroupv2.Auto, Systemd, Cgroupfs, or None.
type Manager = cgroupv2.Manager

// check refuses options that no container could be made with.
func (o *Options) check() error {
	for _, p := range [...]struct{ what, path string }{{"the cache", o.Cache}, {homerunName, o.Helpers.Homerun},
		{client.Name, o.Helpers.Net}, {compiler.Name, o.Helpers.Seccomp}, {output.Name, o.Helpers.Log}} {
		if p.path != "" && !filepath.IsAbs(p.path) {
			return fmt.Errorf("the path of %s is not absolute: %q", p.what, p.path)
		}
	}
	if !filepath.IsAbs(o.Root) {
		return fmt.Errorf("the path of the state root is not absolute: %q", o.Root)
	}
	switch o.Manager {
	case "", cgroupv2.Auto, cgroupv2.Systemd, cgroupv2.Cgroupfs, cgroupv2.None:
		return nil
	}
	return errors.New("unknown cgroup manager " + string(o.Manager) + ": want auto, systemd, cgroupfs or disabled")
}

// Helpers are paths of the programs that come with homerun. One that is empty is
// found beside this program or in its libexec directory, never through a PATH
// (CVE-2026-84042).
type Helpers struct {
	// Homerun copies what a tmpfs with tmpcopyup covers, in a container with a
	// user namespace of its own.
	Homerun string
	// Net connects networks: homerun-net.
	Net string
	// Seccomp compiles seccomp profiles: homerun-seccomp.
	Seccomp string
	// Log keeps and shows the output of detached programs: homerun-log.
	Log string
}

// homerunName is the file name of homerun's own program.
const homerunName = "homerun"

func (h Helpers) homerun() (string, []string) { return findHelper(homerunName, h.Homerun) }
func (h Helpers) net() (string, []string)     { return findHelper(client.Name, h.Net) }
func (h Helpers) log() (string, []string)     { return findHelper(output.Name, h.Log) }
func (h Helpers) seccomp() (string, []string) { return findHelper(compiler.Name, h.Seccomp) }

// findHelper finds a helper program: at the path that was given, or where it is
// installed with this one. The path is empty when there is none at the places.
func findHelper(name, given string) (program string, places []string) {
	if given == "" {
		if self, err := os.Executable(); err == nil {
			return siblings.Find(self, name)
		}
		return "", nil
	}
	if siblings.IsProgram(given) {
		return given, []string{given}
	}
	return "", []string{given}
}

// FindHelper finds a program that comes with homerun by its file name, where it is
// installed with this one. The path is empty when there is none at the places.
func FindHelper(name string) (path string, places []string) { return findHelper(name, "") }
