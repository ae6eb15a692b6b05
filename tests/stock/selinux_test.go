package stock

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
	"golang.org/x/sys/unix"
)

// Contexts of the policy. What container_t is may not read secret_t; all that has no other label is host_t.
const (
	programLabel = "u:r:container_t:s0:c1,c2"
	otherLabel   = "u:r:other_t:s0"
	machineLabel = "u:r:host_t:s0-s0:c0.c2"
	filesLabel   = "u:object_r:container_file_t:s0:c1,c2"
	secretLabel  = "u:object_r:secret_t:s0"
	hostLabel    = "u:object_r:host_t:s0"
)

// selinux makes a container of root's or dev's, or of root's with a user namespace.
func selinux(t *testing.T, who string, args ...string) *container {
	t.Helper()
	needSELinux(t)
	c := newContainer(t, who == "dev", args...)
	guest.Must(t, "chcon", secretLabel, rootfs+"/secret")
	if who == "mapped" {
		ids := []object{{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 1000}}
		c.add("linux.namespaces", object{"type": "user"}).set("linux.uidMappings", ids).set("linux.gidMappings", ids)
	}
	if who != "dev" {
		c.cgroupfs() // is quicker
	}
	return c
}

// labeled gives a container both labels.
func (c *container) labeled() *container {
	return c.set("process.selinuxLabel", programLabel).set("linux.mountLabel", filesLabel)
}

// lookLabel says what label the shell has, and what it may read.
const lookLabel = "echo $(tr -d '\\0' </proc/self/attr/current) $(cat /secret 2>/dev/null || echo no)"

// The program has the label, as has its session keyring, and is bound by it; without one it is what homerun is.
func TestSELinuxLabel(t *testing.T) {
	for _, who := range []string{"root", "mapped", "dev"} {
		c := selinux(t, who, "sh", "-c", lookLabel+" $(/probe key)")
		c.prints(machineLabel + " seen " + machineLabel)
		c.labeled().prints(programLabel + " no " + programLabel)
	}
	c := selinux(t, "root", "sh", "-c", lookLabel).labeled().set("process.noNewPrivileges", false)
	c.prints(programLabel + " no")
	c.set("process.selinuxLabel", otherLabel).prints(otherLabel + " seen")
}

// What exec starts has the container's label, or the one that is asked for.
func TestSELinuxExec(t *testing.T) {
	for _, who := range []string{"root", "dev"} {
		c := selinux(t, who, "sleep", "1000").labeled().set("process.noNewPrivileges", false)
		c.must("create", "--bundle", c.dir, c.id)
		t.Cleanup(func() { c.must("delete", "--force", c.id) })
		c.must("start", c.id)
		if got := strings.TrimRight(read(t, fmt.Sprintf("/proc/%d/attr/current", c.pid())), "\x00"); got != programLabel {
			t.Errorf("start: %q", got)
		}
		if got, want := c.must("exec", c.id, "sh", "-c", lookLabel), programLabel+" no"; got != want {
			t.Errorf("exec: %q, not %q", got, want)
		}
		if got, want := c.must("exec", "--process-label", otherLabel, c.id, "sh", "-c", lookLabel), otherLabel+" seen"; got != want {
			t.Errorf("exec --process-label: %q, not %q", got, want)
		}
		out, err := c.homerun("exec", "--process-label", "u:r:nobody_t:s0", c.id, "true")
		if err == nil || !strings.Contains(out, "run with the SELinux label u:r:nobody_t:s0 (process.selinuxLabel): the loaded policy does not know this label") {
			t.Errorf("exec with an unknown label: %v: %s", err, out)
		}
		var ids []int
		if err := json.Unmarshal([]byte(c.must("ps", "--format", "json", c.id)), &ids); err != nil || !slices.Equal(ids, []int{c.pid()}) {
			t.Errorf("processes: %v, %v", ids, err)
		}
	}
}

// labels wants the files of a container that runs, by their paths, to have these labels.
func (c *container) labels(want map[string]string) {
	c.t.Helper()
	for path, label := range want {
		if got := labelOf(fmt.Sprintf("/proc/%d/root%s", c.pid(), path)); got != label {
			c.t.Errorf("%s: %q, not %q", path, got, label)
		}
	}
}

func labelOf(path string) string {
	label := make([]byte, 200)
	n, err := unix.Lgetxattr(path, "security.selinux", label)
	if err != nil {
		return err.Error()
	}
	return strings.TrimRight(string(label[:n]), "\x00")
}

// New file systems and what is made in them have the label, those of the kernel and what is bound keep theirs.
func TestSELinuxMounts(t *testing.T) {
	for _, who := range []string{"root", "mapped", "dev"} {
		c := selinux(t, who, "sh", "-c", "touch /t/file /dev/shm/file && exec sleep 1000").labeled().
			add("mounts", object{"destination": "/t", "type": "tmpfs"}).
			add("mounts", object{"destination": "/readonly", "type": "mqueue", "options": []string{"ro"}}).
			add("mounts", object{"destination": "/own", "type": "tmpfs", "options": []string{`context="` + secretLabel + `"`}}).
			add("mounts", object{"destination": "/etc", "type": "tmpfs", "options": []string{"tmpcopyup"}}).
			set("root", object{"path": rootfs})
		c.start()
		want := map[string]string{
			"/t": filesLabel, "/t/file": filesLabel, "/dev": filesLabel, "/dev/shm": filesLabel, "/dev/shm/file": filesLabel,
			"/dev/pts": filesLabel, "/dev/pts/ptmx": filesLabel, "/dev/mqueue": filesLabel, "/readonly": filesLabel, "/own": secretLabel,
			"/etc": filesLabel, "/etc/passwd": filesLabel, "/proc/acpi": filesLabel, "/sys/firmware": filesLabel,
			"/proc": hostLabel, "/sys": hostLabel, "/bin": hostLabel, "/dev/null": hostLabel,
		}
		if who == "root" {
			want["/dev/null"] = filesLabel // is made, else the host's is bound
		}
		c.labels(want)
		out, err := c.homerun("exec", c.id, "sh", "-c", "stat -c %u /dev/mqueue && ls /proc/acpi >/dev/null && touch /dev/shm/a && touch /readonly/a")
		if first, _, _ := strings.Cut(out, "\n"); err == nil || first != "0" || !strings.Contains(out, "/readonly/a: Read-only file system") {
			t.Errorf("%v: %s", err, out)
		}
		write(t, c.dir+"/added.json", `[{"destination": "/added", "type": "tmpfs"}]`)
		c.must("mounts", "add", c.id, c.dir+"/added.json")
		c.labels(map[string]string{"/added": filesLabel})
	}
}

// A container in the namespaces of another has its labels too: its user namespace alone, and with it that of message queues.
func TestSELinuxJoined(t *testing.T) {
	first := selinux(t, "mapped", "sleep", "1000").labeled()
	first.start()
	for _, kinds := range [][]any{{"user"}, {"user", "ipc"}} {
		c := selinux(t, "root", "sleep", "1000").labeled()
		namespaces := c.config["linux"].(object)["namespaces"].([]any)
		c.set("linux.namespaces", slices.DeleteFunc(namespaces, func(n any) bool { return slices.Contains(kinds, n.(object)["type"]) }))
		for _, kind := range kinds {
			c.add("linux.namespaces", object{"type": kind, "path": fmt.Sprintf("/proc/%d/ns/%s", first.pid(), kind)})
		}
		c.start()
		c.labels(map[string]string{"/dev/shm": filesLabel, "/dev/mqueue": filesLabel})
		if got, want := c.must("exec", c.id, "sh", "-c", lookLabel+" $(stat -c %u /dev/mqueue)"), programLabel+" no 0"; got != want {
			t.Errorf("%v: %q, not %q", kinds, got, want)
		}
	}
}

// The label may be given by another option, and that of the host's own queues stays.
func TestSELinuxMountOption(t *testing.T) {
	c := selinux(t, "root", "sh", "-c", "touch /t/file && exec sleep 1000").labeled().add("mounts", object{"destination": "/t", "type": "tmpfs"}).
		set("annotations", object{"run.oci.mount_context_type": "rootcontext"}).set("root", object{"path": rootfs})
	namespaces := c.config["linux"].(object)["namespaces"].([]any)
	c.set("linux.namespaces", slices.DeleteFunc(namespaces, func(n any) bool { return n.(object)["type"] == "ipc" }))
	c.start()
	c.labels(map[string]string{"/t": filesLabel, "/dev/mqueue": hostLabel})
	if got := read(t, fmt.Sprintf("/proc/%d/mounts", c.pid())); !strings.Contains(got, ` /t tmpfs rw,rootcontext="`+filesLabel+`"`) {
		t.Errorf("mounts: %s", got)
	}
}

// A hook has the label of what it is a part of: the runtime, or the container's program.
func TestSELinuxHooks(t *testing.T) {
	for _, who := range []string{"root", "dev"} {
		c := selinux(t, who, "cat", "/t/start").labeled().add("mounts", object{"destination": "/t", "type": "tmpfs"}).set("root", object{"path": rootfs})
		hook := func(to string) []object {
			return []object{{"path": "/bin/sh", "args": []string{"sh", "-c", "cat /proc/self/attr/current >" + to}}}
		}
		c.set("hooks", object{"createRuntime": hook(c.dir + "/runtime"), "createContainer": hook(c.dir + "/container"), "startContainer": hook("/t/start")})
		c.prints(programLabel + "\x00")
		for _, name := range []string{"/runtime", "/container"} {
			if got := read(t, c.dir+name); got != machineLabel+"\x00" {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}

// refusesCleanly is refuses, and wants nothing of the container to be left.
func (c *container) refusesCleanly(words ...string) {
	c.t.Helper()
	c.refuses(words...)
	left := "?"
	for end := time.Now().Add(5 * time.Second); left != "" && time.Now().Before(end); {
		left = guest.Must(c.t, "find", "/sys/fs/cgroup", "/run", "-name", "*"+c.id+"*")
	}
	if mounts := read(c.t, "/proc/self/mounts"); left != "" || strings.Contains(mounts, c.id) {
		c.t.Errorf("left: %s: %s", left, mounts)
	}
}

// A label that cannot be had is an error, and nothing is left.
func TestSELinuxRefused(t *testing.T) {
	const unknown = ": the loaded policy does not know this label: invalid argument (EINVAL)"
	for _, who := range []string{"root", "dev"} {
		c := selinux(t, who, "echo", "ran").labeled().set("process.selinuxLabel", "u:r:nobody_t:s0")
		c.refusesCleanly("run with the SELinux label u:r:nobody_t:s0 (process.selinuxLabel)" + unknown)
		c.labeled().set("linux.mountLabel", "nonsense")
		c.refusesCleanly("mount with the SELinux label nonsense (linux.mountLabel)" + unknown)
		c.labeled().set("process.selinuxLabel", otherLabel)
		c.refusesCleanly(`exec "echo" (process.args): operation not permitted (EPERM)`, "process.noNewPrivileges")
		c.set("process.noNewPrivileges", false).set("process.selinuxLabel", "u:r:forbidden_t:s0")
		c.must("create", "--bundle", c.dir, c.id)
		if out, err := c.homerun("start", c.id); err == nil || !strings.Contains(out, "permission denied") {
			t.Errorf("start: %v: %s", err, out)
		}
		c.must("delete", "--force", c.id)
		c.refusesCleanly(`exec "echo" (process.args): permission denied (EACCES)`, "a security module forbids it")
	}
	selinux(t, "root", "true").set("annotations", object{"run.oci.mount_context_type": "mode"}).
		refuses(`give linux.mountLabel by the mount option "mode" (annotations["run.oci.mount_context_type"])`)
}

// In a user namespace the kernel labels few file systems. With another the start fails.
func TestSELinuxUnlabelable(t *testing.T) {
	c := selinux(t, "dev", "echo", "ran").labeled().add("mounts", object{"destination": "/t", "type": "binfmt_misc"}).set("root", object{"path": rootfs})
	guest.Must(t, "modprobe", "binfmt_misc")
	c.refusesCleanly("mount binfmt_misc on /t (mounts[", "permission denied (EACCES)", "in a user namespace but for tmpfs, devpts and overlay")
	delete(c.config["linux"].(object), "mountLabel")
	c.prints("ran")
}

// homerun does not relabel what it binds, and says so.
func TestSELinuxVolume(t *testing.T) {
	c := selinux(t, "root", "true")
	out, err := guest.Answer(homerun, "run", "--rootfs", rootfs, "--volume", c.dir+":/mnt:z", "true")
	if err == nil || !strings.Contains(out, "homerun changes no SELinux labels: chcon") {
		t.Errorf("%v: %s", err, out)
	}
	if got := labelOf(c.dir); got != hostLabel {
		t.Errorf("the volume is %s", got)
	}
}

// Podman gives each of its containers both labels where SELinux is.
func TestSELinuxPodman(t *testing.T) {
	selinux(t, "root") // has homerun installed
	const script = `set -e
		mkdir -p /etc/selinux/test/contexts
		printf 'SELINUX=enforcing\nSELINUXTYPE=test\n' >/etc/selinux/config
		printf 'process = "u:r:container_t:s0"\nfile = "u:object_r:container_file_t:s0"\n' >/etc/selinux/test/contexts/lxc_contexts
		podman import --quiet /usr/share/homerun-test/busybox.tar labeled >/dev/null
		exec podman --runtime "$0" run --rm --network=none --security-opt label=user:u --security-opt label=role:r \
			--security-opt label=type:container_t --security-opt label=level:s0:c1,c2 --tmpfs /t labeled \
			sh -c "touch /dev/shm/file && grep /t /proc/mounts && cat /proc/self/attr/current"`
	out := guest.Must(t, "sh", "-c", script, homerun)
	if !strings.Contains(out, `/t tmpfs rw,context="`+filesLabel+`"`) || !strings.HasSuffix(out, "\n"+programLabel+"\x00") {
		t.Errorf("%q", out)
	}
}
