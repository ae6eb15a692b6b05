package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
	"github.com/homerun-oci/homerun/proc"
)

// drivers are tested alike.
func drivers() []netns.Mode { return []netns.Mode{netns.Pasta, netns.Slirp4netns} }

// box is a container and its network.
type box struct {
	*agent
	w      *world
	state  string
	result netns.Result
	// elapsed is how long the helper took to answer.
	elapsed time.Duration
}

// newBox makes a container of u1's without a network.
func newBox(t testing.TB) *box {
	t.Helper()
	w := needWorld(t)
	state := w.directory(t)
	if err := os.Chown(state, int(w.uid), int(w.gid)); err != nil {
		t.Fatal(err)
	}
	a, err := startAgent(w.command(partLauncher, w.asUser()))
	if err != nil {
		t.Fatal(err)
	}
	b := &box{agent: a, w: w, state: state}
	t.Cleanup(func() {
		a.kill()
		if err := client.Stop(context.Background(), state); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(state, netns.LogFile))
			t.Logf("log:\n%s", log)
		}
	})
	return b
}

// connect has the helper connect the box, as u1.
func (b *box) connect(n netns.Network, ports ...string) error {
	var forwards []netns.Forward
	for _, p := range ports {
		f, err := netns.ParseForward(p)
		if err != nil {
			return err
		}
		forwards = append(forwards, f)
	}
	return b.request(netns.NewRequest(n, b.pid, b.state, forwards))
}

func (b *box) request(r netns.Request) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	c := b.w.command(partClient, b.w.asUser(), filepath.Join(b.w.dir, client.Name), string(body))
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	var a connectAnswer
	if err := json.Unmarshal(out, &a); err != nil {
		return err
	}
	b.result, b.elapsed = a.Result, a.Elapsed
	return b.result.Err()
}

// connected is a box with a network that must come up.
func connected(t testing.TB, driver netns.Mode, ports ...string) *box {
	t.Helper()
	b := newBox(t)
	if err := b.connect(netns.Network{Mode: driver}, ports...); err != nil {
		t.Fatal(err)
	}
	return b
}

// ask has the outside or the box ask an echo server.
func ask(t testing.TB, a *agent, network, address string) (peer string) {
	t.Helper()
	got := a.must(t, task{Op: "ask", Network: network, Address: address, Data: "hello"})
	peer, word, _ := strings.Cut(got, " ")
	if word != "hello" {
		t.Fatalf("%s %s: answer %q", network, address, got)
	}
	return peer
}

// from checks that a peer's address is the one that it should be.
func from(t testing.TB, what, peer, want string) {
	t.Helper()
	a, err := netip.ParseAddrPort(peer)
	if err != nil || a.Addr().Unmap().String() != want {
		t.Errorf("%s: seen from %s, want %s", what, peer, want)
	}
}

func TestOutgoing(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(string(driver), func(t *testing.T) {
			b := connected(t, driver)
			if b.result.Driver != driver || b.result.Address.String() != "10.0.2.100" {
				t.Errorf("result %+v", b.result)
			}
			if !b.result.Address6.IsValid() {
				t.Error("no IPv6 address")
			}
			for _, network := range []string{"tcp", "udp"} {
				from(t, network, ask(t, b.agent, network, "192.0.2.2:7"), "192.0.2.1")
				from(t, network+"6", ask(t, b.agent, network, "[2001:db8::2]:7"), "2001:db8::1")
			}
			resolves(t, b, "192.0.2.2")
		})
	}
}

func resolves(t testing.TB, b *box, server string) {
	t.Helper()
	got := b.must(t, task{Op: "resolve", Address: server + ":53", Data: "www.example.test."})
	if got != "[203.0.113.7]" {
		t.Errorf("name server %s: %s", server, got)
	}
}

// TestLoopbackDNS: a resolver on the host's loopback is asked through the
// driver's address.
func TestLoopbackDNS(t *testing.T) {
	w := needWorld(t)
	server, err := task{Address: "127.0.0.53:53", Data: "203.0.113.7"}.dns()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w.resolvConf(t, "nameserver 127.0.0.53\noptions edns0\n")
	for _, driver := range drivers() {
		b := connected(t, driver)
		resolves(t, b, b.result.DNS[0].String())
	}
}

// TestHost: the container reaches the host at Result.Host, and its loopback
// only when that was asked for.
func TestHost(t *testing.T) {
	needWorld(t)
	open := task{Op: "serve", Network: "tcp", Address: "0.0.0.0:4001"}
	loop := task{Op: "serve", Network: "tcp", Address: "127.0.0.1:4002"}
	for _, k := range []task{open, loop} {
		server, err := k.serve()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
	}
	for _, driver := range drivers() {
		t.Run(string(driver), func(t *testing.T) {
			b := connected(t, driver)
			from(t, "host", ask(t, b.agent, "tcp", b.result.Host.String()+":4001"), "192.0.2.1")
			if o, err := b.do(task{Op: "ask", Network: "tcp", Address: "10.0.2.2:4002", Data: "x", Limit: 500}); err == nil {
				t.Errorf("the host's loopback is open: %q", o.Text)
			}
			c := newBox(t)
			if err := c.connect(netns.Network{Mode: driver, HostLoopback: true}); err != nil {
				t.Fatal(err)
			}
			from(t, "loopback", ask(t, c.agent, "tcp", c.result.Host.String()+":4002"), "127.0.0.1")
		})
	}
}

// TestPublished: ports, ranges, both protocols and both families, and who the
// server inside thinks its client is.
func TestPublished(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(string(driver), func(t *testing.T) {
			b := connected(t, driver, "8080:80", "5300:53/udp", "9000-9002:90-92", "[2001:db8::1]:8443:80", "127.0.0.1:8081:80")
			for _, k := range []task{
				{Op: "serve", Network: "tcp", Address: ":80"}, {Op: "serve", Network: "udp", Address: ":53"},
				{Op: "serve", Network: "tcp", Address: ":92"},
			} {
				b.must(t, k)
			}
			from(t, "tcp", ask(t, b.w.outside, "tcp", "192.0.2.1:8080"), "192.0.2.2")
			from(t, "udp", ask(t, b.w.outside, "udp", "192.0.2.1:5300"), "192.0.2.2")
			from(t, "range", ask(t, b.w.outside, "tcp", "192.0.2.1:9002"), "192.0.2.2")
			peer := ask(t, b.w.outside, "tcp", "[2001:db8::1]:8443")
			t.Logf("tcp6 is seen from %s", peer)
			from(t, "tcp6", peer, "2001:db8::2")
			host, err := task{Network: "tcp", Address: "127.0.0.1:8081", Data: "x"}.ask()
			if err != nil {
				t.Errorf("from the host's loopback: %v", err)
			}
			t.Logf("loopback is seen from %s", host.Text)
			if driver == netns.Pasta {
				from(t, "wildcard6", ask(t, b.w.outside, "tcp", "[2001:db8::1]:8080"), "2001:db8::2")
			}
		})
	}
}

// processesGone waits until none of the processes run.
func processesGone(t testing.TB, list []netns.Process, within time.Duration) {
	t.Helper()
	deadline := time.Now().Add(within)
	for _, p := range list {
		for (proc.ID{Pid: p.PID, StartTime: p.Start}).Alive() {
			if time.Now().After(deadline) {
				t.Fatalf("%s (process %d) still runs after %v", p.Name, p.PID, within)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func portFree(t testing.TB, network string, port uint16) {
	t.Helper()
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if errno := tryBind(netns.Protocol(network), a, port); errno != 0 {
			t.Errorf("%s port %d of %s is still held: %v", network, port, a, errno)
		}
	}
}

// TestContainerKilled: within a second nothing is left, whatever was used.
func TestContainerKilled(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(string(driver), func(t *testing.T) {
			b := connected(t, driver, "8080:80", "5300:53/udp")
			if _, err := client.Add(t.Context(), b.state, []netns.Forward{forward(t, "[2001:db8::1]:8090:80")}); err != nil {
				t.Fatal(err)
			}
			inner := children(t, b.result.Processes[0].PID)
			unix.Kill(b.pid, unix.SIGKILL)
			start := time.Now()
			processesGone(t, append(b.result.Processes, inner...), time.Second)
			t.Logf("%d processes gone after %v", len(inner)+1, time.Since(start))
			portFree(t, "tcp", 8080)
			portFree(t, "udp", 5300)
			portFree(t, "tcp", 8090)
			leftOnlyLog(t, b.state)
		})
	}
}

func leftOnlyLog(t testing.TB, state string) {
	t.Helper()
	entries, err := os.ReadDir(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != netns.LogFile && e.Name() != fakeArguments {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

func forward(t testing.TB, s string) netns.Forward {
	t.Helper()
	f, err := netns.ParseForward(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// children are a process's children.
func children(t testing.TB, pid int) []netns.Process {
	t.Helper()
	var list []netns.Process
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		for _, word := range strings.Fields(readText(file)) {
			var p netns.Process
			fmt.Sscan(word, &p.PID)
			p.Name = strings.TrimSpace(readText("/proc/" + word + "/comm"))
			id, _ := proc.Of(p.PID)
			p.Start = id.StartTime
			list = append(list, p)
		}
	}
	return list
}

// TestHelperKilled: the driver does not outlive a helper that was killed, and
// delete copes.
func TestHelperKilled(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(string(driver), func(t *testing.T) {
			b := connected(t, driver, "8080:80")
			if _, err := client.Add(t.Context(), b.state, []netns.Forward{forward(t, "[2001:db8::1]:8090:80")}); err != nil {
				t.Fatal(err)
			}
			all := append(children(t, b.result.Processes[0].PID), b.result.Processes...)
			unix.Kill(b.result.Processes[0].PID, unix.SIGKILL)
			processesGone(t, all, time.Second)
			portFree(t, "tcp", 8080)
			if _, err := client.List(t.Context(), b.state); err == nil {
				t.Error("somebody answers on the control socket")
			}
			if err := client.Stop(context.Background(), b.state); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStop: delete --force, and by command.
func TestStop(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(string(driver), func(t *testing.T) {
			b := connected(t, driver, "8080:80")
			if err := client.Stop(context.Background(), b.state); err != nil {
				t.Fatal(err)
			}
			processesGone(t, b.result.Processes, 0)
			portFree(t, "tcp", 8080)
			if err := client.Stop(context.Background(), b.state); err != nil {
				t.Error("again:", err)
			}
			leftOnlyLog(t, b.state)
			c := connected(t, driver)
			if _, err := client.Control(t.Context(), c.state, netns.Command{Op: netns.OpStop}, time.Second); err != nil {
				t.Fatal(err)
			}
			processesGone(t, c.result.Processes, time.Second)
		})
	}
}

// TestDriverKilled: without its driver the helper has nothing left to do.
func TestDriverKilled(t *testing.T) {
	b := connected(t, netns.Pasta)
	unix.Kill(b.result.Processes[1].PID, unix.SIGKILL)
	processesGone(t, b.result.Processes, time.Second)
}

// TestPorts: list, add and remove on a running container.
func TestPorts(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(string(driver), func(t *testing.T) {
			b := connected(t, driver, "8080:80")
			b.must(t, task{Op: "serve", Network: "tcp", Address: ":80"})
			b.must(t, task{Op: "serve", Network: "udp", Address: ":53"})
			added := []netns.Forward{forward(t, "192.0.2.1:8082-8083:80-81"), forward(t, "5301:53/udp")}
			list, err := client.Add(t.Context(), b.state, added)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", list)
			if len(list) != 3 || list[1].Forward != added[0] || list[0].Fixed != (list[0].By == byPasta) {
				t.Errorf("list %+v", list)
			}
			from(t, "added", ask(t, b.w.outside, "tcp", "192.0.2.1:8082"), "192.0.2.2")
			t.Logf("added udp is seen from %s", ask(t, b.w.outside, "udp", "192.0.2.1:5301"))
			from(t, "first", ask(t, b.w.outside, "tcp", "192.0.2.1:8080"), "192.0.2.2")
			if list, err = client.Remove(t.Context(), b.state, added); err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			portFree(t, "tcp", 8082)
			portFree(t, "udp", 5301)
			refuseChanges(t, b, list[0].Fixed)
		})
	}
}

// refuseChanges: what cannot be done is said, and changes nothing.
func refuseChanges(t *testing.T, b *box, fixed bool) {
	t.Helper()
	for _, c := range []struct {
		change func(context.Context, string, []netns.Forward) ([]netns.Published, error)
		ports  []string
		want   string
	}{
		{client.Add, []string{"8084:80", "8080:81"}, "publish 8080:81/tcp: 8080:80/tcp is published already"},
		{client.Add, []string{"8084:80", "80:80"}, "publish 80:80/tcp: port 80/tcp: permission denied"},
		{client.Remove, []string{"7777:80"}, "remove port 7777:80/tcp: it is not published"},
	} {
		var forwards []netns.Forward
		for _, p := range c.ports {
			forwards = append(forwards, forward(t, p))
		}
		if _, err := c.change(t.Context(), b.state, forwards); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v, want %s", c.ports, err, c.want)
		}
	}
	portFree(t, "tcp", 8084)
	_, err := client.Remove(t.Context(), b.state, []netns.Forward{forward(t, "8080:80")})
	if refused := err != nil && strings.Contains(err.Error(), "pasta published it"); refused != fixed {
		t.Errorf("removing the first: %v", err)
	}
}

// TestManyConnections: 500 at once, out and in.
func TestManyConnections(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(string(driver), func(t *testing.T) {
			b := connected(t, driver, "8080:80")
			b.must(t, task{Op: "serve", Network: "tcp", Address: ":80"})
			for name, where := range map[string]struct {
				a       *agent
				address string
			}{"out": {b.agent, "192.0.2.2:7"}, "in": {b.w.outside, "192.0.2.1:8080"}} {
				o, err := where.a.do(task{Op: "many", Network: "tcp", Address: where.address, Count: 500})
				if err != nil || o.Count != 500 {
					t.Errorf("%s: %d of 500, %v", name, o.Count, err)
				}
			}
		})
	}
	t.Run("builtin", func(t *testing.T) {
		b := connected(t, netns.Pasta)
		b.must(t, task{Op: "serve", Network: "tcp", Address: ":80"})
		if _, err := client.Add(t.Context(), b.state, []netns.Forward{forward(t, "8080:80")}); err != nil {
			t.Fatal(err)
		}
		o, err := b.w.outside.do(task{Op: "many", Network: "tcp", Address: "192.0.2.1:8080", Count: 500})
		if err != nil || o.Count != 500 {
			t.Errorf("%d of 500, %v", o.Count, err)
		}
	})
}

// TestStdio: the helper keeps none of its starter's descriptors.
func TestStdio(t *testing.T) {
	b := connected(t, netns.Pasta)
	pid := b.result.Processes[0].PID
	log := filepath.Join(b.state, netns.LogFile)
	// The ready pipe is closed a moment after its line was read.
	deadline := time.Now().Add(time.Second)
	for {
		foreign := foreignDescriptors(t, pid, log)
		if foreign == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the helper holds %s", foreign)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if sid, _ := unix.Getsid(pid); sid != pid {
		t.Errorf("session %d", sid)
	}
}

// foreignDescriptors are those of a process that are not its own affair.
func foreignDescriptors(t *testing.T, pid int, log string) (foreign []string) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		t.Fatal(links, err)
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		known := err != nil || slices.Contains([]string{"/dev/null", log, "anon_inode:[pidfd]", "anon_inode:[eventpoll]", "anon_inode:[eventfd]"}, to)
		// Go's runtime watches its CPU limit.
		if !known && !strings.HasPrefix(to, "socket:") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			foreign = append(foreign, filepath.Base(link)+": "+to)
		}
	}
	return foreign
}
