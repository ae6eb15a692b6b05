package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

type object = map[string]any

// writeBundle writes a bundle as `spec --rootless` does, with one id mapped.
func writeBundle(dir, rootfs string, limits object, args []string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(config(rootfs, limits, args))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
}

func config(rootfs string, limits object, args []string) object {
	var namespaces []object
	for _, kind := range []string{"pid", "network", "ipc", "uts", "mount", "cgroup", "user"} {
		namespaces = append(namespaces, object{"type": kind})
	}
	return object{
		"ociVersion": "1.0.0",
		"process": object{
			"user": object{"uid": 0, "gid": 0}, "args": args, "cwd": "/", "noNewPrivileges": true,
			"env": []string{"PATH=/bin"},
		},
		"root":     object{"path": rootfs, "readonly": true},
		"hostname": "smallest",
		"mounts":   mounts(),
		"linux": object{
			"uidMappings": []object{{"containerID": 0, "hostID": os.Geteuid(), "size": 1}},
			"gidMappings": []object{{"containerID": 0, "hostID": os.Getegid(), "size": 1}},
			"namespaces":  namespaces,
			"resources":   limits,
			"maskedPaths": []string{
				"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/sys/firmware",
			},
			"readonlyPaths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

func mounts() []object {
	var list []object
	for _, m := range []string{
		"proc /proc", "tmpfs /dev nosuid strictatime mode=755 size=65536k",
		"devpts /dev/pts nosuid noexec newinstance ptmxmode=0666 mode=0620",
		"tmpfs /dev/shm nosuid noexec nodev mode=1777 size=65536k", "mqueue /dev/mqueue nosuid noexec nodev",
		"sysfs /sys nosuid noexec nodev ro", "cgroup /sys/fs/cgroup nosuid noexec nodev relatime ro",
	} {
		f := strings.Fields(m)
		list = append(list, object{"type": f[0], "source": f[0], "destination": f[1], "options": f[2:]})
	}
	return list
}

// table writes Markdown.
func table(columns []column) string {
	rows := []struct {
		title string
		cell  func(column) string
	}{
		{"", func(c column) string { return c.name }},
		{"---", func(column) string { return "---:" }},
		{"smallest memory.max, static program without libc", func(c column) string { return kib(c.bare) }},
		{"smallest memory.max, busybox true", func(c column) string { return kib(c.busybox) }},
		{"init of a created container: resident", func(c column) string { return kib(c.resident) }},
		{"init of a created container: threads", func(c column) string { return fmt.Sprint(c.threads) }},
		{"pids.limit 1, idle machine", func(c column) string { return fmt.Sprintf("%d of %d", c.single, many) }},
		{"pids.limit 1, busy machine", func(c column) string { return fmt.Sprintf("%d of %d", c.busily, many) }},
	}
	var b strings.Builder
	for _, r := range rows {
		b.WriteString("| " + r.title + " |")
		for _, c := range columns {
			b.WriteString(" " + r.cell(c) + " |")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func kib(n int) string { return fmt.Sprintf("%d KiB", n) }
