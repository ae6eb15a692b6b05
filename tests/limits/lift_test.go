package limits

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/homerun-oci/homerun/tests/again"
	"golang.org/x/sys/unix"
)

// lifts makes this program the container's. Its value is how that reaches the
// files of its cgroup.
const lifts = "HOMERUN_LIMITS_LIFT"

const (
	// by the mount of config.json, with CAP_SYS_ADMIN
	byMount = "mount"
	// by a mount of its own in a user namespace of its own, without a capability
	byNamespace = "namespace"
	byOwnMount  = "own mount" // byNamespace, once it is there
)

func TestMain(m *testing.M) {
	switch way := os.Getenv(lifts); way {
	case "":
		os.Exit(again.Alone(m.Run))
	case byNamespace:
		inNamespaces()
	default:
		lift(way)
	}
}

// inNamespaces goes on in new namespaces. Without CAP_SETFCAP nobody may have a map
// with the uid 0 there (Linux 5.12), and none is needed.
func inNamespaces() {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), lifts+"="+byOwnMount)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP,
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN}}
	if err := c.Run(); err != nil {
		fmt.Println("namespaces", err)
	}
}

// lift takes its own limits away, as far as it can: those of the cgroup that it
// was started in, from a cgroup namespace of its own below. Then it starts 60
// processes, and says how many there were.
func lift(way string) {
	try := func(what string, err error) { fmt.Println(what, err) }
	top := "/sys/fs/cgroup"
	if way == byOwnMount {
		top = "/tmp"
		try("mount", unix.Mount("cgroup", top, "cgroup2", 0, ""))
	}
	try("mkdir", os.Mkdir(top+"/sub", 0o755))
	try("move", os.WriteFile(top+"/sub/cgroup.procs", []byte("0"), 0))
	try("unshare", unix.Unshare(unix.CLONE_NEWCGROUP))
	for _, name := range []string{"pids.max", "memory.max"} {
		try(name, os.WriteFile(filepath.Join(top, name), []byte("max"), 0))
	}
	started := 0
	for range 60 {
		c := exec.Command("/bin/sleep", "100")
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if c.Start() != nil {
			break
		}
		started++
	}
	fmt.Println("started", started)
}

const liftable = `{"pids": {"limit": 40}, "memory": {"limit": 134217728}}`

// lifter is a container with that program, which writes to its file "out".
func lifter(t *testing.T, manager, way, resources string) *box {
	t.Helper()
	b := newBox(t, manager, resources, "sh", "-c", "while ! [ -e /go ]; do sleep 0.1; done; exec /lift >/out 2>&1")
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, "rootfs", "lift"), self, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	process := b.config["process"].(object)
	process["env"] = []string{lifts + "=" + way, "GOMAXPROCS=1", "PATH=/bin"}
	if way == byMount {
		names := []string{"CAP_SYS_ADMIN"}
		process["capabilities"] = object{"bounding": names, "effective": names, "permitted": names}
		return b
	}
	process["noNewPrivileges"] = true
	for _, m := range b.config["mounts"].([]object) {
		if m["type"] == "cgroup" {
			m["options"] = []string{"ro"}
		}
	}
	return b
}

// limited demands that the program can do all that it tries, and that its limit
// holds all the same.
func (b *box) limited(what string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, "rootfs", "go"), nil, 0o644); err != nil {
		b.t.Fatal(err)
	}
	var out string
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("%s: %s", what, out)
		}
	})
	eventually(b.t, "tried", func() bool {
		text, _ := os.ReadFile(filepath.Join(b.dir, "rootfs", "out"))
		out = string(text)
		return strings.Contains(out, "started ")
	})
	for _, step := range []string{"mkdir", "move", "unshare", "pids.max", "memory.max"} {
		if !strings.Contains(out, step+" <nil>\n") {
			b.t.Errorf("%s: it could not try %s", what, step)
		}
	}
	if strings.Contains(out, "started 60\n") {
		b.t.Errorf("%s: it is without limits", what)
	}
}

// Whose the files of a cgroup are can change the limits there, with CAP_SYS_ADMIN
// or without, and even where the mount of config.json is read-only. So the limits
// that hold for a container are above what it can reach. Neighbours: a delegated
// cgroup, and root's container.
func TestLimitsCannotBeLifted(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		for _, way := range []string{byMount, byNamespace} {
			for _, delegate := range []string{"", "mine"} {
				b := lifter(t, manager, way, liftable)
				if delegate != "" {
					b.config["annotations"] = object{"run.oci.delegate-cgroup": delegate}
				}
				b.start()
				b.limited(fmt.Sprintf("by %s, delegated %q", way, delegate))
			}
		}
	})
}

// Nor are limits that update gives, also to a container that began without any.
func TestUpdatedLimitsCannotBeLifted(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		for _, resources := range []string{"", `{"pids": {"limit": 1000}}`} {
			b := lifter(t, manager, byNamespace, resources)
			b.start()
			b.must("update", "--pids-limit", "40", "--memory", "128m", b.id)
			b.limited("after " + resources)
		}
	})
}
