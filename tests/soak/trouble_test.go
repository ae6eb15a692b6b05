package soak

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// storms counts what troubles all clients at once.
type storms struct {
	mu     sync.Mutex
	begun  int
	active int
}

// now is a moment: how many storms had begun, or -1 in one.
func (s *storms) now() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active > 0 {
		return -1
	}
	return s.begun
}

// calm reports whether there was none since a moment, and is none.
func (s *storms) calm(since int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active == 0 && s.begun == since
}

func (s *storms) during(do func()) {
	s.mu.Lock()
	s.begun++
	s.active++
	s.mu.Unlock()
	do()
	s.mu.Lock()
	s.active--
	s.mu.Unlock()
}

// trouble makes trouble until stop is closed.
func (d *day) trouble(random *rand.Rand, stop <-chan struct{}) {
	pause := 150
	if d.place.scopes { // each verb takes longer
		pause = 600
	}
	for {
		which, wait, n := random.IntN(100), random.IntN(pause), random.IntN(1<<20)
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(20+wait) * time.Millisecond):
		}
		switch {
		case which < 25:
			d.hurtOne(killedInit, unix.SIGKILL, n)
		case which < 45:
			d.hurtOne(killedProcess, []unix.Signal{unix.SIGKILL, unix.SIGSEGV, unix.SIGTERM}[n/len(d.slots)%3], n)
		case which < 75:
			d.hurtOne(killedHelper, unix.SIGKILL, n)
		case which < 87:
			d.storms.during(func() { d.fill(time.Duration(20+wait/2) * time.Millisecond) })
		case which < 94 && d.place.scopes:
			d.storms.during(func() { d.reexec() })
		case d.place.scopes:
			d.storms.during(func() { d.killBus() })
		}
	}
}

// hurtOne kills a process of the first container that has one, from a random one on.
func (d *day) hurtOne(kind string, signal unix.Signal, n int) {
	for i := range d.slots {
		if d.hurt(d.slots[(n+i)%len(d.slots)], kind, signal, n) {
			return
		}
	}
}

// hurt kills a process of a container, if it has one.
func (d *day) hurt(s *slot, kind string, signal unix.Signal, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	init := d.place.initOf(s.id)
	all := tree()
	mine := below(all, os.Getpid(), nil)
	var list []int
	switch {
	case kind == killedHelper:
		list = d.place.helpers(s.id, mine, init)
	case init == 0 || !slices.Contains(mine, init):
	case kind == killedInit:
		list = []int{init}
	default:
		list = append(below(all, init, nil), init)
	}
	if len(list) == 0 {
		return false
	}
	pid := list[n%len(list)]
	what := describe(pid)
	s.hurt.Store(true)
	err := unix.Kill(pid, signal)
	if err == nil {
		d.faults.add(kind)
	}
	d.journal("trouble", s, "%s: %s to %s: %v", kind, unix.SignalName(signal), what, err)
	return true
}

// initOf is the init that is recorded of a container, or 0.
func (p *place) initOf(id string) int {
	var s struct{ Pid int }
	text, err := os.ReadFile(filepath.Join(p.state, id, "state.json"))
	if err != nil || json.Unmarshal(text, &s) != nil {
		return 0
	}
	return s.Pid
}

// helpers are homerun's own processes beside a container: what attends to it or records
// its end, has its network, keeps its output.
func (p *place) helpers(id string, mine []int, init int) (list []int) {
	directory := filepath.Join(p.state, id)
	for _, pid := range mine {
		s, err := statOf(pid)
		if err != nil || pid == init {
			continue
		}
		where, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
		above, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(s.parent), "cwd"))
		if where == directory || above == directory || commandLine(pid) == "homerun: init "+id && s.parent == os.Getpid() || strings.Contains(commandLine(pid), directory+"/") {
			list = append(list, pid)
		}
	}
	return list
}

// isSmall reports whether the state root has a small file system for itself.
func (p *place) isSmall() bool {
	var st unix.Statfs_t
	err := unix.Statfs(p.small, &st)
	return err == nil && st.Type == unix.TMPFS_MAGIC && st.Blocks*uint64(st.Bsize) <= 1<<29
}

// fill fills the file system of the state root for a while, if that is a small one.
func (d *day) fill(wait time.Duration) {
	if !d.place.isSmall() {
		return
	}
	d.journal("trouble", nil, "the disk is full for %s", wait)
	name := filepath.Join(d.place.small, "filler")
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		d.journal("trouble", nil, "open: %v", err)
		return
	}
	defer unix.Close(fd)
	offset := int64(0)
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for size := int64(64 << 20); size >= 4096; {
			if unix.Fallocate(fd, 0, offset, size) != nil {
				size /= 4
				continue
			}
			offset += size
		}
	}
	if offset > 0 {
		d.faults.add(fullDisk)
	}
	if err := os.Remove(name); err != nil {
		d.broken(nil, "remove the filler: %v", err)
	}
}

// reexec has the user's systemd execute itself.
func (d *day) reexec() {
	text, err := exec.Command("systemctl", "--user", "daemon-reexec").CombinedOutput()
	if err == nil {
		d.faults.add(reexecuted)
	}
	d.journal("trouble", nil, "daemon-reexec: %v %s", err, text)
	d.awaitManager()
}

// killBus kills the session's bus, which systemd starts again when it is needed; not
// too often, or it would not.
func (d *day) killBus() {
	if time.Since(d.busKilled) < 4*time.Second {
		return
	}
	d.busKilled = time.Now()
	text, err := exec.Command("systemctl", "--user", "kill", "-s", "KILL", "dbus.service").CombinedOutput()
	if err == nil {
		d.faults.add(busKilled)
	}
	d.journal("trouble", nil, "the bus is killed: %v %s", err, text)
	d.awaitManager()
}

// awaitManager waits until the user's systemd can be reached as usual.
func (d *day) awaitManager() {
	said := ""
	for range 100 {
		text, err := exec.Command("busctl", "--user", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.DBus.Peer", "Ping").CombinedOutput()
		if err == nil {
			return
		}
		said = fmt.Sprint(err, " ", string(text))
		time.Sleep(50 * time.Millisecond)
	}
	d.broken(nil, "the bus does not come back: %s", said)
}
