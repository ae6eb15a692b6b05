package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
)

// The world of these tests
//
//	outside 192.0.2.2, 2001:db8::2 ── veth ── "host" 192.0.2.1, 2001:db8::1
//	                                            │ homerun-net, pasta, as user u1
//	                                          container: user and network
//	                                          namespace of u1
//
// The test binary executes itself in a new network and mount namespace, which
// is the "host"; nothing of the real network is seen or touched. It plays all
// the other parts, too, told apart by an environment variable.

const (
	partVariable = "HOMERUN_NET_TEST"
	partWorld    = "world"
	partAgent    = "agent"
	partLauncher = "launcher"
	partClient   = "client"
	// dumpable set to 0 makes an agent forbid others to look at it.
	dumpable = "HOMERUN_NET_TEST_DUMPABLE"
	// hostPIDs set to 1 makes a container without a PID namespace.
	hostPIDs = "HOMERUN_NET_TEST_HOST_PIDS"
)

func TestMain(m *testing.M) {
	switch os.Getenv(partVariable) {
	case partAgent:
		os.Exit(agentMain())
	case partLauncher:
		os.Exit(launcherMain())
	case partClient:
		os.Exit(clientMain())
	case partWorld:
		status := m.Run()
		if built != nil {
			built.close()
		}
		os.Exit(status)
	}
	if os.Geteuid() != 0 {
		// The tests of pure functions run; the others say what they miss.
		os.Exit(m.Run())
	}
	os.Exit(inNewWorld())
}

// inNewWorld runs the tests in namespaces of their own.
func inNewWorld() int {
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), partVariable+"="+partWorld)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	if err := c.Run(); err != nil {
		if e, ok := err.(*exec.ExitError); ok {
			return e.ExitCode()
		}
		fmt.Fprintln(os.Stderr, "new namespaces:", err)
		return 1
	}
	return 0
}

// world is what the tests share.
type world struct {
	dir      string
	uid, gid uint32
	outside  *agent
}

var (
	built     *world
	buildOnce = sync.OnceValues(buildWorld)
)

// needWorld answers the world, or ends the test when there cannot be one.
func needWorld(t testing.TB) *world {
	t.Helper()
	if os.Getenv(partVariable) != partWorld {
		cannot(t, "needs root, to make network namespaces for an unprivileged user")
	}
	w, err := buildOnce()
	if err != nil {
		cannot(t, err.Error())
	}
	return w
}

// cannot fails the test, or skips it where the environment allows that.
func cannot(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" || testing.Short() {
		t.Skip(why)
	}
	t.Fatal(why)
}

// unprivileged finds a user, or as root makes one.
func unprivileged(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if err == nil || os.Getuid() != 0 {
		return u, err
	}
	if text, err := exec.Command("useradd", "-m", name).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("useradd: %w: %s", err, text)
	}
	return user.Lookup(name)
}

func buildWorld() (*world, error) {
	u, err := unprivileged("u1")
	if err != nil {
		return nil, fmt.Errorf("needs an unprivileged user u1: %w", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	w := &world{uid: uint32(uid), gid: uint32(gid)}
	if w.dir, err = os.MkdirTemp("/tmp", "homerun-net-test"); err != nil {
		return nil, err
	}
	built = w
	for _, step := range []func() error{w.mounts, w.binaries, w.network, w.services} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) close() {
	if w.outside != nil {
		w.outside.kill()
	}
	unix.Unmount(w.dir, unix.MNT_DETACH)
	os.RemoveAll(w.dir)
}

// mounts gives the world its own /dev/net/tun, which users may open, and a
// resolv.conf that names the outside's server.
func (w *world) mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", w.dir, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	if err := w.tun("tun", 0o666); err != nil {
		return err
	}
	resolv := filepath.Join(w.dir, "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 192.0.2.2\n"), 0o644); err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return err
	}
	return unix.Mount(resolv, target, "", unix.MS_BIND, "")
}

// directory makes a new directory, root's and nobody else's.
func (w *world) directory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(w.dir, "state")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// resolvConf changes the host's resolv.conf for the time of a test.
func (w *world) resolvConf(t testing.TB, text string) {
	t.Helper()
	path := filepath.Join(w.dir, "resolv.conf")
	old := readText(path)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(path, []byte(old), 0o644) })
}

// tun puts a device node of that mode over /dev/net/tun.
func (w *world) tun(name string, mode uint32) error {
	path := filepath.Join(w.dir, name)
	os.Remove(path)
	if err := unix.Mknod(path, unix.S_IFCHR|mode, int(unix.Mkdev(10, 200))); err != nil {
		return fmt.Errorf("mknod tun: %w", err)
	}
	// Whatever the umask left out.
	os.Chmod(path, os.FileMode(mode))
	if err := unix.Mount(path, "/dev/net/tun", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind mount on /dev/net/tun: %w", err)
	}
	return nil
}

// binaries puts the helper and the test itself where u1 can execute them.
func (w *world) binaries() error {
	build := exec.Command("go", "build", "-o", filepath.Join(w.dir, client.Name), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, "test"), self, 0o755)
}

func (w *world) network() error {
	var err error
	// The outside is root's, in another network namespace.
	w.outside, err = startAgent(w.command(partAgent, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}))
	if err != nil {
		return err
	}
	pid := strconv.Itoa(w.outside.pid)
	inside := []string{"nsenter", "-t", pid, "-n"}
	steps := [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "link", "add", "out0", "type", "veth", "peer", "name", "host0", "netns", pid},
		{"ip", "address", "add", "192.0.2.1/24", "dev", "out0"},
		{"ip", "-6", "address", "add", "2001:db8::1/64", "dev", "out0", "nodad"},
		{"ip", "link", "set", "out0", "up"},
		append(inside, "ip", "address", "add", "192.0.2.2/24", "dev", "host0"),
		append(inside, "ip", "-6", "address", "add", "2001:db8::2/64", "dev", "host0", "nodad"),
		append(inside, "ip", "link", "set", "host0", "up"),
	}
	if err := runAll(steps); err != nil {
		return err
	}
	return w.routes(true)
}

// routes sets or removes the host's default routes.
func (w *world) routes(on bool) error {
	verb := "add"
	if !on {
		verb = "delete"
	}
	return runAll([][]string{
		{"ip", "route", verb, "default", "via", "192.0.2.2"},
		{"ip", "-6", "route", verb, "default", "via", "2001:db8::2"},
	})
}

func runAll(commands [][]string) error {
	for _, c := range commands {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	return nil
}

// services are what the outside offers.
func (w *world) services() error {
	for _, t := range []task{
		{Op: "serve", Network: "tcp", Address: ":7"},
		{Op: "serve", Network: "udp4", Address: "192.0.2.2:7"},
		{Op: "serve", Network: "udp6", Address: "[2001:db8::2]:7"},
		{Op: "sink", Network: "tcp", Address: ":9"},
		{Op: "dns", Address: "192.0.2.2:53", Data: "203.0.113.7"},
	} {
		if _, err := w.outside.do(t); err != nil {
			return fmt.Errorf("outside: %s: %w", t.Op, err)
		}
	}
	return nil
}

// command is this test binary in another part.
func (w *world) command(part string, attr *syscall.SysProcAttr, arguments ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(w.dir, "test"), arguments...)
	c.Env = []string{partVariable + "=" + part, "PATH=" + safePath(), dumpable + "=" + os.Getenv(dumpable),
		hostPIDs + "=" + os.Getenv(hostPIDs), "GORACE=" + os.Getenv("GORACE")}
	c.Stderr = os.Stderr
	c.SysProcAttr = attr
	return c
}

// asUser makes a command run as u1.
func (w *world) asUser() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: w.uid, Gid: w.gid}}
}

// agent is a running agent.
type agent struct {
	command *exec.Cmd
	pid     int
	in      io.WriteCloser
	to      *json.Encoder
	from    *json.Decoder
}

func startAgent(c *exec.Cmd) (*agent, error) {
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	a := &agent{command: c, in: in, to: json.NewEncoder(in), from: json.NewDecoder(out)}
	var hello outcome
	if err := a.from.Decode(&hello); err != nil {
		a.kill()
		return nil, fmt.Errorf("agent: %w", err)
	}
	a.pid = hello.Count
	return a, nil
}

func (a *agent) do(t task) (outcome, error) {
	var o outcome
	if err := a.to.Encode(t); err != nil {
		return o, err
	}
	if err := a.from.Decode(&o); err != nil {
		return o, fmt.Errorf("agent: %w", err)
	}
	if o.Error != "" {
		return o, fmt.Errorf("%s", o.Error)
	}
	return o, nil
}

// must is do for a task that has to succeed.
func (a *agent) must(t testing.TB, k task) string {
	t.Helper()
	o, err := a.do(k)
	if err != nil {
		t.Fatalf("%s %s %s: %v", k.Op, k.Network, k.Address, err)
	}
	return o.Text
}

// kill ends the agent as an out-of-memory killer would.
func (a *agent) kill() {
	if a.pid > 0 {
		unix.Kill(a.pid, unix.SIGKILL)
	}
	a.command.Process.Kill()
	a.command.Wait()
}

// launcherMain is u1's part in making a container: an agent in new user, PID and
// network namespaces.
func launcherMain() int {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), partVariable+"="+partAgent)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	if os.Getenv(hostPIDs) != "1" {
		c.SysProcAttr.Cloneflags |= unix.CLONE_NEWPID
	}
	if c.Run() != nil {
		return 1
	}
	return 0
}

// clientMain is the part of `homerun run`: it starts the helper, prints its
// answer and goes, so that the helper has no parent of its own.
func clientMain() int {
	// As under nohup(1) and some service managers.
	signal.Ignore(unix.SIGPIPE)
	var r netns.Request
	json.Unmarshal([]byte(os.Args[2]), &r)
	pidfd, err := unix.PidfdOpen(r.PID, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pidfd_open:", err)
		return 1
	}
	var a connectAnswer
	start := time.Now()
	h, err := client.Start(os.Args[1], r, pidfd)
	if err == nil {
		a.Result, err = h.Wait(context.Background(), 20*time.Second)
	}
	a.Elapsed = time.Since(start)
	if err != nil {
		a.Result.Failure = netns.NewFailure(err)
	}
	json.NewEncoder(os.Stdout).Encode(a)
	return 0
}

// connectAnswer is what the client part prints.
type connectAnswer struct {
	Result  netns.Result
	Elapsed time.Duration
}
