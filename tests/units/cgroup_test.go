package units

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/tests/guest"
)

type object = map[string]any

// bundle makes one of BusyBox, for a user with one id.
func bundle(t *testing.T, resources object, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	guest.Must(t, "tar", "-C", rootfs, "-xf", "/usr/share/homerun-test/busybox.tar")
	var namespaces []object
	for _, kind := range []string{"pid", "ipc", "uts", "mount", "cgroup", "user"} {
		namespaces = append(namespaces, object{"type": kind})
	}
	own := func(id int) []object { return []object{{"containerID": 0, "hostID": id, "size": 1}} }
	config, err := json.Marshal(object{
		"ociVersion": "1.2.0",
		"root":       object{"path": "rootfs"},
		"process":    object{"args": args, "cwd": "/", "user": object{"uid": 0, "gid": 0}, "env": []string{"PATH=/bin:/sbin"}},
		"mounts":     []object{{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "bind", "source": "/dev", "options": []string{"rbind"}}},
		"linux":      object{"namespaces": namespaces, "resources": resources, "uidMappings": own(os.Geteuid()), "gidMappings": own(os.Getegid())},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// little is a limit that `tail /dev/zero` does not keep to.
func little() object { return object{"memory": object{"limit": 16 << 20, "swap": 16 << 20}} }

// A container that is out of memory, by its own limit or by that of the unit, is what
// systemd calls that; also where its first process has not been killed.
func TestOutOfMemory(t *testing.T) {
	guest.NeedUser(t)
	for name, c := range map[string]struct {
		limit, unit string
		args        []string
	}{
		"own":   {"own", "", []string{"tail", "/dev/zero"}},
		"child": {"own", "", []string{"sh", "-c", "tail /dev/zero; exec sleep 86410"}},
		"unit":  {"", "MemoryMax=16M\nMemorySwapMax=0", []string{"tail", "/dev/zero"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUnit(t)
			resources := object{}
			if c.limit != "" {
				resources = little()
			}
			u.generate(".service", "--bundle", bundle(t, resources, c.args...))
			if c.unit != "" {
				dropIn(u, "[Service]\n"+c.unit)
			}
			_, _ = u.systemctl("start")
			u.becomes("ActiveState", "failed")
			u.want("Result=oom-kill")
			u.gone("sleep 86410")
		})
	}
}

// A limit by a flag is no other.
func TestOutOfMemoryByFlag(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	u.generate(".service", "--memory", "16m", "--memory-swap", "16m", "--rootfs", "/", "--net", "none", "--", "tail", "/dev/zero")
	_, _ = u.systemctl("start")
	u.becomes("ActiveState", "failed")
	u.want("Result=oom-kill")
}

// dropIn adds to a unit.
func dropIn(u *unit, text string) {
	u.t.Helper()
	dir := filepath.Join(directory(u.t), u.name+".service.d")
	u.t.Cleanup(func() { os.RemoveAll(dir) })
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "more.conf"), []byte(text+"\n"), 0o644)
	}
	if err != nil {
		u.t.Fatal(err)
	}
	systemctl(u.t, "daemon-reload")
}

// A container that is killed for memory is started again.
func TestRestartAfterOutOfMemory(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	u.generate(".service", "--restart", "on-failure", "--bundle",
		bundle(t, little(), "sh", "-c", "echo >>/ran; test $(wc -l </ran) = 1 && exec tail /dev/zero; exec sleep 86411"))
	_, _ = u.systemctl("start")
	u.becomes("NRestarts", "1")
	u.becomes("ActiveState", "active")
}

// systemdRun runs homerun in a service or scope.
func systemdRun(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return guest.Answer(append(append(manager("systemd-run"), "--quiet", "--collect"), args...)...)
}

const outside = "has no Delegate=yes, so the container is not in its cgroup"

// A unit without Delegate=yes is warned of, and what the warning says helps. Who has
// asked for a scope, or is in one unit with others, is told nothing.
func TestWithoutDelegate(t *testing.T) {
	guest.NeedUser(t)
	b := bundle(t, object{}, "true")
	state := []string{guest.Homerun(t), "--root", t.TempDir() + "/state"}
	for name, c := range map[string]struct {
		run   []string
		flags []string
		warns bool
	}{
		"service":             {[]string{"--wait", "--pipe"}, nil, true},
		"delegated":           {[]string{"--wait", "--pipe", "-p", "Delegate=yes"}, nil, false},
		"asked for":           {[]string{"--wait", "--pipe"}, []string{"--cgroup-manager=systemd"}, false},
		"none":                {[]string{"--wait", "--pipe"}, []string{"--cgroup-manager=disabled"}, false},
		"by a shell":          {[]string{"--wait", "--pipe", "sh", "-c", `"$@"; exit $?`, "sh"}, nil, false},
		"scope":               {[]string{"--scope"}, nil, false},
		"scope, delegated":    {[]string{"--scope", "-p", "Delegate=yes"}, nil, false},
		"service with a name": {[]string{"--wait", "--pipe", "--unit", "units-named"}, nil, true},
	} {
		args := append(append(append([]string{}, c.run...), state...), c.flags...)
		out, err := systemdRun(t, append(args, "run", "--bundle", b, "one")...)
		if err != nil || strings.Contains(out, outside) != c.warns || !c.warns && out != "" {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		if strings.Contains(name, "name") && !strings.Contains(out, "homerun: warning: units-named.service "+outside) {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// A container in a scope of systemd-run's: in one that is delegated it is part of that.
func TestScope(t *testing.T) {
	guest.NeedUser(t)
	b := bundle(t, object{"pids": object{"limit": 20}}, "sleep", "2")
	for name, c := range map[string]struct {
		properties []string
		inside     bool
	}{"delegated": {[]string{"-p", "Delegate=yes"}, true}, "not": {nil, false}} {
		u := newUnit(t)
		args := append([]string{"--scope", "--unit", u.name}, c.properties...)
		done := make(chan error, 1)
		go func() {
			_, err := systemdRun(t, append(args, guest.Homerun(t), "run", "--bundle", b, u.name)...)
			done <- err
		}()
		var cgroup string
		if !within(guest.CallLimit, func() bool {
			pid, err := guest.Answer(guest.Homerun(t), "ps", "--format", "json", u.name)
			if err != nil {
				return false
			}
			text, _ := os.ReadFile("/proc/" + strings.Trim(pid, "[]\n ") + "/cgroup")
			cgroup = string(text)
			return strings.Contains(cgroup, u.name)
		}) {
			t.Fatalf("%s: not there", name)
		}
		if inside := strings.Contains(cgroup, u.name+".scope/homerun-"); inside != c.inside {
			t.Errorf("%s: the container is in %s", name, cgroup)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
