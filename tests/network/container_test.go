package network

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/proc"
)

// place is a state root with what may be in it.
type place struct{ root string }

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{root: filepath.Join(t.TempDir(), "state")}
	t.Cleanup(func() {
		for _, id := range p.containers() {
			p.homerun("delete", "--force", id)
		}
	})
	return p
}

func (p *place) containers() []string {
	entries, _ := os.ReadDir(p.root)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func (p *place) command(args ...string) (*exec.Cmd, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	c := exec.CommandContext(ctx, filepath.Join(built, "homerun"), append([]string{"--root", p.root}, args...)...)
	c.WaitDelay = time.Second
	return c, cancel
}

// homerun runs a verb and returns its two outputs. To an error belongs its hint,
// which is in the log.
func (p *place) homerun(args ...string) (out, errors string, err error) {
	log := p.root + ".log"
	c, cancel := p.command(append([]string{"--log", log, "--log-format", "json"}, args...)...)
	defer cancel()
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	if err = c.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(readText(log)), "\n")
		var last struct{ Hint string }
		if json.Unmarshal([]byte(lines[len(lines)-1]), &last) == nil && last.Hint != "" {
			e.WriteString("    hint: " + last.Hint + "\n")
		}
	}
	return o.String(), e.String(), err
}

// must runs a verb that succeeds and returns its output.
func (p *place) must(t *testing.T, args ...string) string {
	t.Helper()
	out, text, err := p.homerun(args...)
	if err != nil {
		t.Fatalf("homerun %q: %v\n%s%s", args, err, out, text)
	}
	return out
}

// onHost are the arguments that run the test binary on the host's own file
// system.
func onHost(t *testing.T, flags ...string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"run", "--rootfs", "/", "-v", self + ":/tmp/inside:ro"}, flags...)
	return append(args, "--", "/tmp/inside", "inside")
}

// running is a container that serves.
type running struct {
	place   *place
	id      string
	command *exec.Cmd
	done    chan error
	stderr  *bytes.Buffer
}

// serving starts a container called web whose program listens on port 80.
func (p *place) serving(t *testing.T, flags ...string) *running {
	t.Helper()
	c, cancel := p.command(append(onHost(t, append([]string{"--name", "web"}, flags...)...), "serve", "80")...)
	t.Cleanup(cancel)
	r := &running{place: p, id: "web", command: c, done: make(chan error, 1), stderr: &bytes.Buffer{}}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c.Stdout, c.Stderr = in, r.stderr
	c.WaitDelay = time.Second
	err = c.Start()
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- c.Wait() }()
	if err := out.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "listening\n" {
		t.Fatalf("the container says %q, %v\n%s", line, err, r.stderr)
	}
	return r
}

// wait waits for homerun itself.
func (r *running) wait(t *testing.T) {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(limit):
		t.Fatal("homerun does not end")
	}
}

// state is init's process id, as `state` prints it.
func (r *running) init(t *testing.T) int {
	t.Helper()
	var s struct{ Pid int }
	if err := json.Unmarshal([]byte(r.place.must(t, "state", r.id)), &s); err != nil || s.Pid == 0 {
		t.Fatalf("state: %v, pid %d", err, s.Pid)
	}
	return s.Pid
}

// helpers are the processes of the container's network.
func (r *running) helpers(t *testing.T) []netns.Process {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.place.root, r.id, netns.RecordFile))
	if err != nil {
		t.Fatal(err)
	}
	var record netns.Record
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	if len(record.Processes) < 2 {
		t.Fatalf("the network's processes are %+v: want the helper and a driver", record.Processes)
	}
	for _, p := range record.Processes {
		if !(proc.ID{Pid: p.PID, StartTime: p.Start}).Alive() {
			t.Fatalf("%s (%d) does not run", p.Name, p.PID)
		}
	}
	return record.Processes
}

// goneWithin fails unless all processes end in time.
func goneWithin(t *testing.T, list []netns.Process, d time.Duration) {
	t.Helper()
	end := time.Now().Add(d)
	for _, p := range list {
		for (proc.ID{Pid: p.PID, StartTime: p.Start}).Alive() {
			if time.Now().After(end) {
				t.Fatalf("%s (%d) still runs %v later", p.Name, p.PID, d)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// free fails unless the port can be bound.
func free(t *testing.T, network, address string) {
	t.Helper()
	var c io.Closer
	var err error
	if network == "udp" {
		c, err = net.ListenPacket(network, address)
	} else {
		c, err = net.Listen(network, address)
	}
	if err != nil {
		t.Fatalf("the port is still held: %v", err)
	}
	c.Close()
}

// freePort picks a port that nobody has on any address.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// answers fails unless a server answers with that text.
func answers(t *testing.T, url, want string) {
	t.Helper()
	got, err := fetch(url)
	if err != nil || got != want {
		t.Fatalf("%s answers %q, %v; want %q", url, got, err, want)
	}
}

// silent fails if a server answers.
func silent(t *testing.T, url string) {
	t.Helper()
	if got, err := fetch(url); err == nil {
		t.Fatalf("%s answers %q; want nobody there", url, got)
	}
}

// datagram sends one and returns what comes back.
func datagram(t *testing.T, address string) string {
	t.Helper()
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 2048)
	for range 5 {
		c.SetDeadline(time.Now().Add(time.Second))
		if _, err := c.Write([]byte("hello")); err != nil {
			continue
		}
		if n, err := c.Read(b); err == nil {
			return string(b[:n])
		}
	}
	return "nothing"
}

// killed ends a process of this test's making.
func killed(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}
