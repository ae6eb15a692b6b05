package soak

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endLimit is how long what was killed may take to be gone.
const endLimit = 30 * time.Second

// nothingLeft waits until all is as it was.
func (d *day) nothingLeft() {
	var left []string
	for end := time.Now().Add(endLimit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left = left[:0]
		for _, line := range d.place.snapshot(d.still()) {
			if !slices.Contains(d.before, line) {
				left = append(left, line)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	d.broken(nil, "left behind:\n%s", strings.Join(left, "\n"))
}

// snapshot is all that containers could leave.
func (p *place) snapshot(still []int) (all []string) {
	all = append(all, lines("mount", "/proc/self/mountinfo")...)
	for _, pid := range below(tree(), os.Getpid(), still) {
		all = append(all, "process: "+describe(pid))
	}
	uid := strconv.Itoa(os.Getuid()) // others have theirs
	for _, name := range []string{"shm", "msg", "sem"} {
		for _, line := range lines("IPC object", "/proc/sysvipc/"+name) {
			if slices.Contains(strings.Fields(line), uid) {
				all = append(all, line)
			}
		}
	}
	for _, dir := range []string{p.dir, p.small, p.runtime(), "/dev/shm", "/dev/mqueue"} {
		all = append(all, p.files(dir)...)
	}
	for _, line := range slices.Concat(lines("port", "/proc/net/tcp"), lines("port", "/proc/net/tcp6")) {
		if f := strings.Fields(line); len(f) > 8 && f[4] == "0A" && f[8] == uid { // listens
			all = append(all, "port: "+f[2])
		}
	}
	if p.scopes {
		all = append(all, p.units()...)
	}
	return all
}

// units are scopes, loaded or failed, and cgroups.
func (p *place) units() (all []string) {
	text, err := exec.Command("systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "*soak-*", "run-*.scope").CombinedOutput()
	if err != nil {
		return []string{fmt.Sprint("systemctl: ", err, string(text))}
	}
	for line := range strings.Lines(string(text)) {
		all = append(all, "unit: "+strings.TrimSpace(line))
	}
	_ = filepath.WalkDir("/sys/fs/cgroup/user.slice/user-"+strconv.Itoa(os.Getuid())+".slice", func(name string, e fs.DirEntry, err error) error {
		if base := filepath.Base(name); err == nil && e.IsDir() && (strings.Contains(base, "soak-") || strings.HasPrefix(base, "run-")) {
			all = append(all, "cgroup: "+name)
		}
		return nil
	})
	return all
}

// runtime is XDG_RUNTIME_DIR of the clients.
func (p *place) runtime() string {
	for _, v := range p.env {
		if dir, ok := strings.CutPrefix(v, "XDG_RUNTIME_DIR="); ok {
			return dir
		}
	}
	return ""
}

// files are those below a directory: names alone. What systemd has there is its own, and
// the cache of filters is bounded, with what was left half written.
func (p *place) files(dir string) (all []string) {
	_ = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || !ours(e):
			return nil
		case e.IsDir() && (e.Name() == "systemd" || name == p.rootfs || e.Name() == "dbus-1"):
			return fs.SkipDir
		case e.IsDir() && e.Name() == "homerun-seccomp":
			return fs.SkipDir
		case e.Name() == "up" || name == filepath.Join(p.small, "filler"):
			return nil
		}
		all = append(all, "file: "+name)
		return nil
	})
	return all
}

// ours reports whether a file is of this user.
func ours(e fs.DirEntry) bool {
	info, err := e.Info()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}

func lines(what, name string) (list []string) {
	text, _ := os.ReadFile(name)
	for line := range strings.Lines(string(text)) {
		list = append(list, what+": "+strings.TrimSpace(line))
	}
	return list
}
