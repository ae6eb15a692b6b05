package limits

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
)

// stubborn is a program that ignores SIGTERM.
const stubborn = `trap "" TERM; while :; do sleep 1; done`

// twin is a second container, in a state root of its own.
func (b *box) twin(id string, args ...string) *box {
	b.t.Helper()
	other := newBox(b.t, b.manager, "", args...)
	other.id = id
	if p, ok := b.linux()["cgroupsPath"]; ok {
		other.linux()["cgroupsPath"] = p
	}
	return other
}

// lives fails the test unless the container's program runs on.
func (b *box) lives(after string) {
	b.t.Helper()
	if s := b.state(); s.Status != "running" || b.count() == 0 {
		b.t.Errorf("after %s the other container is %+v", after, s)
	}
}

// A scope of this name is another container's: the second start fails at once,
// and what it undoes is nothing of the first one's. By the same id in two state
// roots, and by one cgroupsPath for two ids.
func TestScopeOfAnother(t *testing.T) {
	guest.Need(t)
	for name, cgroupsPath := range map[string]string{"id": "", "cgroupsPath": ":limits:one-name"} {
		for _, who := range []string{"user", "root"} {
			t.Run(name+"/"+who, func(t *testing.T) {
				if who == "root" {
					guest.NeedRoot(t)
				} else {
					guest.NeedUser(t)
				}
				first := newBox(t, "systemd", "", "sh", "-c", stubborn)
				id := first.id
				if cgroupsPath != "" {
					first.linux()["cgroupsPath"], id = cgroupsPath, "other-"+first.id
				}
				first.start()
				second := first.twin(id, "true")
				t.Cleanup(func() { second.must("delete", "--force", second.id) })
				out, err := second.within(10*time.Second, "run", "--bundle", second.dir, second.id)
				if err == nil || !strings.Contains(out, "a unit of this name exists") {
					t.Errorf("%v: %s", err, out)
				}
				first.lives("the failed run")
				second.must("delete", "--force", second.id)
				first.lives("delete --force")
			})
		}
	}
}

// A container's scope ends with its last process, and its name and its cgroup's
// are free: what the verbs do to the dead container must not reach who has them
// next. Neighbours: kill --all, ps, update, exec, delete.
func TestScopeNameOfTheDead(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		dead := newBox(t, manager, "", "true")
		dead.linux()["cgroupsPath"] = ":limits:reused"
		if manager == "cgroupfs" {
			dead.linux()["cgroupsPath"] = "limits-reused"
		}
		dead.start()
		eventually(t, "stopped", func() bool { return dead.state().Status == "stopped" })
		if manager == "cgroupfs" {
			// Somebody tidies up; a cgroup that is made anew is another one.
			made := "/sys/fs/cgroup" + strings.TrimSuffix(cgroupOf(t, "self"), "/runtime") + "/limits-reused"
			if err := errors.Join(os.Remove(made+"/container"), os.Remove(made)); err != nil {
				t.Fatal(err)
			}
		}
		next := dead.twin("next-"+dead.id, "sh", "-c", stubborn)
		next.start()
		dead.must("kill", "--all", dead.id, "KILL")
		next.lives("kill --all")
		if out, _ := dead.homerun("ps", "--format", "json", dead.id); strings.ContainsAny(out, "123456789") && !strings.Contains(out, "homerun:") {
			t.Errorf("ps lists the next one's processes: %s", out)
		}
		dead.must("delete", "--force", dead.id)
		next.lives("delete --force")
	})
}

// With cgroupfs a cgroupsPath may name a cgroup in which others are.
func TestCgroupOfAnother(t *testing.T) {
	cgroupfs := func(t *testing.T) {
		if !inUnit(t, "Delegate=yes") {
			return
		}
		t.Run("populated", populatedCgroup)
		t.Run("above", cgroupAbove)
		t.Run("there before", cgroupThereBefore)
	}
	t.Run("user", func(t *testing.T) { guest.NeedUser(t); cgroupfs(t) })
	t.Run("root", func(t *testing.T) { guest.NeedRoot(t); cgroupfs(t) })
}

// It is refused as runc refuses it, and its processes live.
func populatedCgroup(t *testing.T) {
	first := newBox(t, "cgroupfs", "", "sh", "-c", stubborn)
	first.linux()["cgroupsPath"] = "limits-shared"
	first.start()
	second := first.twin("other-"+first.id, "sleep", "100")
	out, err := second.homerun("create", "--bundle", second.dir, second.id)
	if err == nil || !strings.Contains(out, "container's cgroup is not empty: ") {
		t.Errorf("%v: %s", err, out)
	}
	second.must("delete", "--force", second.id)
	first.lives("delete --force of the second")
}

// The first container made a cgroup above its own, in which the second one's is.
func cgroupAbove(t *testing.T) {
	first := newBox(t, "cgroupfs", "", "sleep", "100")
	first.linux()["cgroupsPath"] = "limits-pod/first"
	first.start()
	second := first.twin("other-"+first.id, "sh", "-c", stubborn)
	second.linux()["cgroupsPath"] = "limits-pod/second"
	second.start()
	first.must("delete", "--force", first.id)
	second.lives("delete --force of the first")
	pod := filepath.Dir(filepath.Dir(second.cgroup()))
	second.must("delete", "--force", second.id)
	if _, err := os.Stat(filepath.Join(pod, "second")); err == nil {
		t.Error("the second one's cgroup is left")
	}
	if err := os.Remove(pod); err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
}

// An empty one that the caller made is used, and is the caller's to remove; so is
// one below it, which has the name of the container's own.
func cgroupThereBefore(t *testing.T) {
	dir := "/sys/fs/cgroup" + strings.TrimSuffix(cgroupOf(t, "self"), "/runtime") + "/limits-made"
	own := dir + "/container"
	for _, made := range [][]string{{dir}, {dir, own}} {
		b := newBox(t, "cgroupfs", "", "sleep", "100")
		b.linux()["cgroupsPath"] = "limits-made"
		for _, name := range made {
			if err := os.Mkdir(name, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		b.start()
		if got := b.cgroup(); got != own {
			t.Errorf("init is in %s, want %s", got, own)
		}
		b.must("delete", "--force", b.id)
		for _, name := range slices.Backward(made) {
			if err := os.Remove(name); err != nil {
				t.Errorf("the caller's cgroup: %v", err)
			}
		}
	}
}

// In a PID namespace of one's own (unshare, bwrap --unshare-pid, PrivatePIDs=)
// init has a number there which means another process to the service manager
// outside. Here those numbers are bystanders': they stay where they are and
// live, and the container is in its scope, named by a descriptor.
func TestOtherPIDNamespace(t *testing.T) {
	guest.Need(t)
	t.Run("user", func(t *testing.T) {
		guest.NeedUser(t)
		otherPIDNamespace(t, "unshare", "--map-root-user", "--map-auto")
	})
	t.Run("root", func(t *testing.T) {
		guest.NeedRoot(t)
		otherPIDNamespace(t, "unshare")
	})
}

func otherPIDNamespace(t *testing.T, unshare ...string) {
	first, all := bystanders(t)
	before := cgroupsOf(t, all)
	b := newBox(t, "systemd", "", "cat", "/proc/self/cgroup")
	b.namespaces("pid", "mount", "ipc", "uts")
	if os.Geteuid() != 0 {
		b.namespaces("pid", "mount", "ipc", "uts", "user")
		own := []object{{"containerID": 0, "hostID": 0, "size": 1}}
		b.linux()["uidMappings"], b.linux()["gidMappings"] = own, own
	}
	b.must("--version") // writes config.json
	// The numbers inside are used up to those of the bystanders, which takes its
	// time on a machine that has run for long.
	line := append(unshare, "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c",
		fmt.Sprintf(`: & while [ $! -lt %d ]; do : & wait $!; done; exec "$@"`, first), "sh",
		guest.Homerun(t), "--root", b.root, "--cgroup-manager", b.manager, "run", "--bundle", b.dir, b.id)
	out, err := guest.Command(4*time.Minute, line...)
	if err != nil || !strings.Contains(out, "/homerun-"+b.id+".scope/container") {
		t.Errorf("%v: %s", err, out)
	}
	for i, after := range cgroupsOf(t, all) {
		if after != before[i] {
			t.Errorf("bystander %d was moved to %q", all[i].Process.Pid, after)
		}
	}
}

// bystanders are processes with about consecutive numbers from first on.
func bystanders(t *testing.T) (first int, all []*exec.Cmd) {
	t.Helper()
	for range 100 {
		cmd := exec.Command("sleep", "300")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		all = append(all, cmd)
	}
	if d := all[99].Process.Pid - all[0].Process.Pid; d < 99 || d > 400 {
		t.Fatalf("the bystanders have the numbers %d to %d", all[0].Process.Pid, all[99].Process.Pid)
	}
	return all[0].Process.Pid, all
}

// cgroupsOf has "" or "/" for who is dead.
func cgroupsOf(t *testing.T, all []*exec.Cmd) (list []string) {
	t.Helper()
	for _, cmd := range all {
		list = append(list, cgroupOf(t, strconv.Itoa(cmd.Process.Pid)))
	}
	return list
}

// A session bus without a service manager (dbus-run-session), or one that is
// deaf, is passed over: the user's manager is asked for the scope.
func TestForeignBus(t *testing.T) {
	guest.NeedUser(t)
	for name, before := range map[string][]string{
		"no manager": {"dbus-run-session", "--"},
		"gone":       {"env", "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent"},
		"wrong":      {"env", "DBUS_SESSION_BUS_ADDRESS=nonsense", "XDG_RUNTIME_DIR=/tmp"},
	} {
		for _, manager := range []string{"systemd", "auto"} {
			t.Run(name+"/"+manager, func(t *testing.T) {
				b := newBox(t, manager, "", "cat", "/proc/self/cgroup")
				b.namespaces("pid", "mount", "ipc", "uts", "user")
				b.before = before
				if out, err := b.homerun("run", "--bundle", b.dir, b.id); err != nil || !strings.Contains(out, ".scope/container") {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
	}
}

// Hooks that join the container are in its cgroup namespace, also where systemd
// moves init into its cgroup late (CDI's hooks, rootless). Neighbours: hooks
// outside, and those before the start, as before.
func TestHookInCgroupNamespace(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, "", "readlink", "/proc/self/ns/cgroup")
		look := func(name string) []object {
			file := filepath.Join(b.dir, name)
			return []object{{"path": "/bin/sh", "args": []string{"sh", "-c", "/usr/bin/readlink /proc/self/ns/cgroup >" + file + " && " +
				"/usr/bin/grep -c rootfs/sys/fs/cgroup /proc/self/mountinfo >>" + file + "; true"}}}
		}
		b.config["hooks"] = object{"createRuntime": look("runtime"), "createContainer": look("container")}
		inside := b.must("run", "--bundle", b.dir, b.id)
		// Two cgroup mounts: the host's, which comes with /sys, and its own on top.
		if text := file(t, b.dir, "container"); text != strings.TrimSpace(inside)+"\n2" {
			t.Errorf("createContainer sees %q, the container %q", text, inside)
		}
		if text := file(t, b.dir, "runtime"); text == strings.TrimSpace(inside) {
			t.Errorf("createRuntime sees the container's %s", text)
		}
	})
}

// systemd takes a process that has died meanwhile, and then waits for ever for
// the end of a scope in which nothing is: whatever kills a start, delete stops
// that scope, which is known by its description.
func TestScopeOfADeadInit(t *testing.T) {
	guest.Need(t)
	for _, who := range []string{"user", "root"} {
		t.Run(who, func(t *testing.T) {
			if who == "root" {
				guest.NeedRoot(t)
			} else {
				guest.NeedUser(t)
			}
			b := newBox(t, "systemd", "", "sleep", "100")
			b.homerun("state", b.id) // writes config.json
			for i := range 100 {
				cmd := exec.Command(guest.Homerun(t), "--root", b.root, "--systemd-cgroup", "create", "--bundle", b.dir, b.id)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(10+i*7%60) * time.Millisecond)
				cmd.Process.Kill()
				cmd.Wait()
				b.must("delete", "--force", b.id)
			}
			eventually(t, "all scopes gone", func() bool {
				return !listed(t, "homerun-"+b.id+".scope")
			})
		})
	}
}

// A scope in which init was never found is stopped by its description, and by
// nothing less: homerun died between asking for it and finding init in it, and
// what systemd made then stays for ever.
func TestUnprovenScope(t *testing.T) {
	guest.NeedUser(t)
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprint("own=", own), func(t *testing.T) {
			b := newBox(t, "systemd", "", "sleep", "100")
			b.start()
			mark, unit, pid := b.mark(), "homerun-"+b.id+".scope", b.state().Pid
			forgetInode(t, filepath.Join(b.root, b.id, "state.json"), unit)
			syscall.Kill(pid, syscall.SIGKILL)
			eventually(t, "the container's scope gone", func() bool { return !listed(t, unit) })
			if !own {
				mark = "x" + mark[:len(mark)-1]
			}
			scope := exec.Command("systemd-run", "--user", "--quiet", "--scope", "--collect", "--unit", unit, "--description", "any"+mark, "sleep", "100")
			if err := scope.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { scope.Process.Kill(); scope.Wait() })
			eventually(t, "the scope made anew", func() bool { return listed(t, unit) })
			b.must("delete", "--force", b.id)
			if got := listed(t, unit); got == own {
				t.Errorf("after delete the scope %q is there: %v", "any"+mark, got)
			}
		})
	}
}

// forgetInode makes the record of a scope what it is before init is found in it.
func forgetInode(t *testing.T, name, unit string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	record := regexp.MustCompile(`("kind":"scope","name":"` + regexp.QuoteMeta(unit) + `"),"inode":[0-9]+`)
	if !record.Match(text) {
		t.Fatalf("%s has no number for %s: %s", name, unit, text)
	}
	if err := os.WriteFile(name, record.ReplaceAll(text, []byte("$1")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// listed reports whether systemd has the unit.
func listed(t *testing.T, unit string) bool {
	t.Helper()
	return systemctl(t, "list-units", "--all", "--plain", "--no-legend", unit) != ""
}
