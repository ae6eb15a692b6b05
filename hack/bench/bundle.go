package main

import (
	_ "embed" // the C programs and podman's config.json
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

//go:embed floor.c
var floorSource []byte

//go:embed spawn.c
var spawnSource []byte

//go:embed payload.c
var payloadSource []byte

// podmanConfig is what podman 5.4.2 wrote for `podman run --network none IMAGE
// /bin/true` as an ordinary user, with names in place of its paths and ids.
//
//go:embed podman.json
var podmanConfig []byte

// bench is what the rounds run on.
type bench struct {
	dir      string
	programs string
	runtimes []contender
	scene    scene // what is measured now
	next     int   // number of the next container
	others   []*other
	mounted  int // on the host
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

// compilePrograms makes the C programs, for whoever can read that directory.
func compilePrograms(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	bare := []string{"-nostdlib", "-ffreestanding", "-fno-stack-protector"}
	for _, c := range []struct {
		to     string
		source []byte
		flags  []string
	}{
		{"floor", floorSource, nil},
		{"spawn", spawnSource, nil},
		{"true", payloadSource, bare},
		{"pause", payloadSource, append(bare, "-DPAUSE")},
	} {
		file := filepath.Join(dir, "source.c")
		if err := os.WriteFile(file, c.source, 0o644); err != nil {
			return err
		}
		args := append([]string{"-O2", "-static", "-o", filepath.Join(dir, c.to), file}, c.flags...)
		if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("gcc for %s: %w\n%s", c.to, err, out)
		}
	}
	return nil
}

// prepare makes a root file system and the bundles.
func prepare(dir string, o options) (*bench, error) {
	b := &bench{dir: dir, programs: o.programs, runtimes: findRuntimes(o.runtimes)}
	for _, name := range []string{"bin", "proc", "dev", "sys", "tmp", "etc", "run"} {
		if err := os.MkdirAll(b.file("rootfs/"+name), 0o755); err != nil {
			return nil, err
		}
	}
	for _, program := range []string{"true", "pause"} {
		if err := copyFile(filepath.Join(o.programs, program), b.file("rootfs/bin/"+program)); err != nil {
			return nil, err
		}
	}
	// What podman's config.json binds is there already, as in an image that ran before.
	for _, name := range []string{"etc/hosts", "etc/hostname", "run/.containerenv"} {
		if err := os.WriteFile(b.file("rootfs/"+name), nil, 0o644); err != nil {
			return nil, err
		}
	}
	for _, scene := range scenes(o) {
		for _, program := range []string{"true", "pause"} {
			if err := b.writeBundle(scene.bundle(program), b.config(scene, program)); err != nil {
				return nil, err
			}
		}
	}
	return b, os.Mkdir(b.file("run"), 0o755)
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

// writeBundle makes a bundle, with what podman binds.
func (b *bench) writeBundle(bundle string, c *specs.Spec) error {
	dir := b.file(bundle)
	if err := os.MkdirAll(filepath.Join(dir, "shm"), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"hosts", "hostname", ".containerenv"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
}

// config is that of a container which runs a program.
func (b *bench) config(s scene, program string) *specs.Spec {
	c := specConfig(isCgroup2("/sys/fs/cgroup"))
	if s.Config == "podman" {
		c = specs.Spec{}
		if err := json.Unmarshal(podmanConfig, &c); err != nil {
			panic(err) // it is part of this program
		}
		forHost(&c, s)
	}
	mapIDs(&c, s)
	c.Process.Args, c.Root.Path = []string{"/bin/" + program}, b.file("rootfs")
	return &c
}

// mapIDs gives an ordinary user's container a user namespace: of one id, which nobody needs a
// setuid helper for, or, as podman has it, of all that are theirs.
func mapIDs(c *specs.Spec, s scene) {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		return
	}
	c.Linux.Namespaces = append(c.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	c.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(uid), Size: 1}}
	c.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(gid), Size: 1}}
	if s.Config == "podman" {
		more := specs.LinuxIDMapping{ContainerID: 1, HostID: 100000, Size: 65536}
		c.Linux.UIDMappings, c.Linux.GIDMappings = append(c.Linux.UIDMappings, more), append(c.Linux.GIDMappings, more)
	}
}

// forHost leaves out of podman's config what this host would refuse to everybody.
func forHost(c *specs.Spec, s scene) {
	controllers, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	if s.Cgroups == "none" || !slices.Contains(strings.Fields(string(controllers)), "pids") {
		c.Linux.Resources = &specs.LinuxResources{} // podman's always has the member
	}
	for i := range c.Process.Rlimits {
		r := &c.Process.Rlimits[i]
		resource := map[string]int{"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC}[r.Type]
		var l unix.Rlimit
		if unix.Getrlimit(resource, &l) == nil {
			r.Hard, r.Soft = min(r.Hard, l.Max), min(r.Soft, l.Max)
		}
	}
}

func isCgroup2(path string) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && s.Type == unix.CGROUP2_SUPER_MAGIC
}

// specConfig is what runtimes write for `spec`, without a terminal. The cgroup mount
// is left out where the host has cgroup v1, which is not worth a comparison.
func specConfig(cgroup2 bool) specs.Spec {
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	c := specs.Spec{
		Version: "1.0.0",
		Process: &specs.Process{
			Env:             []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"},
			Cwd:             "/",
			Capabilities:    &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Inheritable: caps, Permitted: caps, Ambient: caps},
			Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
			NoNewPrivileges: true,
		},
		Root:     &specs.Root{Readonly: true},
		Hostname: "bench",
		Mounts:   mounts(cgroup2),
		Linux: &specs.Linux{
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	for _, kind := range []specs.LinuxNamespaceType{"pid", "network", "ipc", "uts", "mount"} {
		c.Linux.Namespaces = append(c.Linux.Namespaces, specs.LinuxNamespace{Type: kind})
	}
	return c
}

func mounts(cgroup2 bool) []specs.Mount {
	list := []specs.Mount{
		mount("proc", "/proc"),
		mount("tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
		mount("devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
		mount("tmpfs", "/dev/shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
		mount("mqueue", "/dev/mqueue", "nosuid", "noexec", "nodev"),
		mount("sysfs", "/sys", "nosuid", "noexec", "nodev", "ro"),
	}
	if cgroup2 {
		list = append(list, mount("cgroup", "/sys/fs/cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"))
	}
	return list
}

func mount(kind, destination string, options ...string) specs.Mount {
	return specs.Mount{Destination: destination, Type: kind, Source: kind, Options: options}
}
