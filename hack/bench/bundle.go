package main

import (
	_ "embed" // the C programs
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

//go:embed floor.c
var floorSource []byte

//go:embed spawn.c
var spawnSource []byte

//go:embed payload.c
var payloadSource []byte

// bench is what the rounds run on.
type bench struct {
	dir      string
	runtimes []contender
	cgroup2  bool
	next     int // number of the next container
	others   []*other
	mounted  int // on the host
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

// prepare builds the programs and the bundles: "true", whose container ends at
// once, and "pause", whose container stays.
func prepare(dir string, runtimes []contender) (*bench, error) {
	b := &bench{dir: dir, runtimes: runtimes, cgroup2: isCgroup2("/sys/fs/cgroup")}
	for _, name := range []string{"run", "rootfs/bin", "rootfs/proc", "rootfs/dev", "rootfs/sys", "rootfs/tmp"} {
		if err := os.MkdirAll(b.file(name), 0o755); err != nil {
			return nil, err
		}
	}
	if err := b.compileAll(); err != nil {
		return nil, err
	}
	for _, program := range []string{"true", "pause"} {
		if err := b.writeConfig(program); err != nil {
			return nil, err
		}
	}
	// Runtimes that look for a session must not find the caller's.
	if err := os.Setenv("XDG_RUNTIME_DIR", b.file("run")); err != nil {
		return nil, err
	}
	return b, os.Unsetenv("DBUS_SESSION_BUS_ADDRESS")
}

func isCgroup2(path string) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && s.Type == unix.CGROUP2_SUPER_MAGIC
}

func (b *bench) compileAll() error {
	bare := []string{"-nostdlib", "-ffreestanding", "-fno-stack-protector"}
	for _, c := range []struct {
		to     string
		source []byte
		flags  []string
	}{
		{"floor", floorSource, nil},
		{"spawn", spawnSource, nil},
		{"rootfs/bin/true", payloadSource, bare},
		{"rootfs/bin/pause", payloadSource, append(bare, "-DPAUSE")},
	} {
		if err := b.compile(c.to, c.source, c.flags); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) compile(to string, source []byte, flags []string) error {
	file := b.file("source.c")
	if err := os.WriteFile(file, source, 0o644); err != nil {
		return err
	}
	args := append([]string{"-O2", "-static", "-o", b.file(to), file}, flags...)
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("gcc for %s: %w\n%s", to, err, out)
	}
	return nil
}

func (b *bench) writeConfig(program string) error {
	return b.writeBundle(program, config(b.file("rootfs"), program, b.cgroup2))
}

func (b *bench) writeBundle(program string, c object) error {
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.file(program), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.file(program), "config.json"), text, 0o644)
}

type object = map[string]any

// config is what runtimes write for `spec --rootless`, without a terminal and
// with one id mapped, which nobody needs a setuid helper for. The cgroup mount
// is left out where the host has cgroup v1, which is not worth a comparison.
func config(rootfs, program string, cgroup2 bool) object {
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	return object{
		"ociVersion": "1.0.0",
		"process": object{
			"user": object{"uid": 0, "gid": 0},
			"args": []string{"/bin/" + program},
			"env":  []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"},
			"cwd":  "/",
			"capabilities": object{
				"bounding": caps, "effective": caps, "inheritable": caps, "permitted": caps, "ambient": caps,
			},
			"rlimits":         []object{{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}},
			"noNewPrivileges": true,
		},
		"root":     object{"path": rootfs, "readonly": true},
		"hostname": "bench",
		"mounts":   mounts(cgroup2),
		"linux": object{
			"uidMappings": []object{{"containerID": 0, "hostID": os.Geteuid(), "size": 1}},
			"gidMappings": []object{{"containerID": 0, "hostID": os.Getegid(), "size": 1}},
			"namespaces":  namespaces("pid", "network", "ipc", "uts", "user", "mount"),
			"maskedPaths": []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
			},
			"readonlyPaths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

func namespaces(types ...string) []object {
	var list []object
	for _, t := range types {
		list = append(list, object{"type": t})
	}
	return list
}

func mounts(cgroup2 bool) []object {
	list := []object{
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

func mount(kind, destination string, options ...string) object {
	m := object{"destination": destination, "type": kind, "source": kind}
	if len(options) > 0 {
		m["options"] = options
	}
	return m
}
