// Package soak has many clients use one state root at once, for as long as wanted, and
// does to them, to what they make and to the machine what a bad day does.
//
// # Theory of operation
//
// A client owns some ids, and knows of each what may be true (model_test.go): after an
// operation that nothing disturbed exactly one thing, after one that something did
// what was before, or what comes after, or what `delete --force` clears. It does one
// operation after the other (operation_test.go), with a fault of its own now and then
// (fault_test.go), and looks each time. Meanwhile trouble comes from outside
// (trouble_test.go). At the end of each round all is deleted, and nothing may be left
// (leftover_test.go); two more containers, which nobody touches, live through it all.
//
// The seed decides what is done and what happens, and is printed. What depends on time
// (where in an operation a kill comes, in which order clients run) is not the same the
// next time; the journal, a file, has the order in which things happened.
package soak

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/again"
	"golang.org/x/sys/unix"
)

// What the environment may say: for how long (a duration), by which seed, and the name
// of a file for the journal.
const (
	lengthVariable  = "HOMERUN_SOAK"
	seedVariable    = "HOMERUN_SOAK_SEED"
	journalVariable = "HOMERUN_SOAK_JOURNAL"
	// directoryVariable is set where root has made the place for an ordinary user.
	directoryVariable = "HOMERUN_SOAK_DIRECTORY"
	// serviceVariable is set in the service that inService makes.
	serviceVariable = "HOMERUN_SOAK_SERVICE"
)

// usual is how long a soak takes where the environment does not say.
const usual = 15 * time.Second

func TestMain(m *testing.M) {
	os.Exit(again.Alone(func() int {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, "become a subreaper:", err)
			return 1
		}
		return m.Run()
	}))
}

// TestSoak is that of an ordinary user whose systemd makes scopes. It kills his session's
// bus, so it is for the test machine, and root begins it there: what the machine itself
// starts as that user ends with the bus.
func TestSoak(t *testing.T) {
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" {
		t.Skip("needs the test machine, whose session it breaks")
	}
	chooseSeed(t)
	run := os.Getenv("XDG_RUNTIME_DIR")
	switch {
	case os.Getuid() == 0:
		inService(t)
		return
	case os.Getenv(serviceVariable) == "":
		t.Skip("needs root, who begins it as a service of the user")
	}
	small, err := os.MkdirTemp(run, "soak-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(small) })
	p := newPlace(t, t.TempDir(), small)
	p.scopes = true
	if !p.isSmall() || !p.net {
		t.Fatalf("the test machine has a small file system: %t, and /dev/net/tun: %t", p.isSmall(), p.net)
	}
	soak(t, p)
}

// inService runs the test again as a service of the user who has a systemd of his own.
func inService(t *testing.T) {
	sockets, _ := filepath.Glob("/run/user/*/systemd/private")
	if len(sockets) != 1 {
		t.Fatalf("whose systemd? %q", sockets)
	}
	run := filepath.Dir(filepath.Dir(sockets[0]))
	uid, err := strconv.Atoi(filepath.Base(run))
	must(t, err)
	dir, err := os.MkdirTemp("/tmp", "soak-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chown(dir, uid, uid))
	self, err := os.Executable()
	must(t, err)
	where, err := os.Getwd()
	must(t, err)
	args := []string{"--user", "--quiet", "--collect", "--unit=begin", "--working-directory=" + where, "--expand-environment=no",
		"--setenv=DBUS_SESSION_BUS_ADDRESS=unix:path=" + run + "/bus", "--setenv=HOMERUN_TEST_MACHINE=1", "--setenv=" + serviceVariable + "=1"}
	for _, name := range []string{lengthVariable, seedVariable, journalVariable} {
		args = append(args, "--setenv="+name+"="+os.Getenv(name))
	}
	args = append(args, "sh", "-c", `echo $$ >"$0/shell"; "$@" >"$0/out" 2>&1; echo $? >"$0/end"; mv "$0/end" "$0/status"`, dir, self, "-test.v", "-test.run=^"+t.Name()+"$", "-test.timeout=0")
	cmd := exec.Command("systemd-run", args...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+run)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("systemd-run: %v: %s", err, text)
	}
	status := awaitService(dir)
	text, err := os.ReadFile(filepath.Join(dir, "out"))
	if string(status) != "0\n" || !strings.Contains(string(text), "--- PASS: "+t.Name()) {
		t.Errorf("status %s, %v\n%s", status, err, text)
	} else {
		t.Logf("%s", text)
	}
}

// awaitService waits until the service's shell has written its status, or has ended without.
func awaitService(dir string) (status []byte) {
	for ended := false; ; time.Sleep(100 * time.Millisecond) {
		status, _ = os.ReadFile(filepath.Join(dir, "status"))
		if len(status) > 0 || ended {
			return status
		}
		text, _ := os.ReadFile(filepath.Join(dir, "shell"))
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		ended = err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
	}
}

// TestSoakWithoutCgroup is that of an ordinary user whose containers have no cgroup.
func TestSoakWithoutCgroup(t *testing.T) {
	chooseSeed(t)
	if dir := os.Getenv(directoryVariable); dir != "" {
		p := newPlace(t, dir, filepath.Join(dir, "small"))
		if !p.isSmall() {
			t.Fatalf("%s is no small file system", p.small)
		}
		soak(t, p)
		return
	}
	if os.Getuid() == 0 {
		becomeUser(t)
		return
	}
	soak(t, newPlace(t, t.TempDir(), t.TempDir()))
}

// nobodyElse is the user whom root's test becomes: no other process is his.
const nobodyElse = 64998

// becomeUser runs the test again as an ordinary user, with a small file system for the
// state root.
func becomeUser(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("soak", small, "tmpfs", 0, "size=2m,mode=700"); err != nil {
		t.Fatal("mount: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	copyPrograms(t, filepath.Join(dir, "bin"))
	for _, d := range []string{dir, small} {
		if err := os.Chown(d, nobodyElse, nobodyElse); err != nil {
			t.Fatal(err)
		}
	}
	cmd := &exec.Cmd{Dir: dir, Env: append(os.Environ(), directoryVariable+"="+dir, "HOME="+dir, "TMPDIR="+dir),
		SysProcAttr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyElse, Gid: nobodyElse}, Pdeathsig: syscall.SIGKILL}}
	again.Pass(t, cmd, t.Name())
}

// chooseSeed takes a seed, if the caller has given none, and prints it at once: a test that
// hangs prints nothing of what it has logged.
func chooseSeed(t *testing.T) {
	if os.Getenv(seedVariable) == "" {
		t.Setenv(seedVariable, strconv.FormatUint(rand.Uint64(), 10))
	}
	fmt.Fprintf(os.Stderr, "%s=%s does the same again, as far as time allows\n", seedVariable, os.Getenv(seedVariable))
}

// soak has clients work for as long as wanted, in rounds.
func soak(t *testing.T, p *place) {
	length := usual
	if text := os.Getenv(lengthVariable); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		length = 3 * time.Second
	}
	seed, err := strconv.ParseUint(os.Getenv(seedVariable), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	d := newDay(t, p, seed)
	defer d.report()
	d.begin()
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); {
		d.round(min(roundLimit, time.Until(end)))
	}
	d.end()
	d.allHappened()
}
