package network

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// eachDriver runs a test with pasta and with slirp4netns.
func eachDriver(t *testing.T, do func(t *testing.T, driver string)) {
	for _, driver := range []string{"pasta", "slirp4netns"} {
		t.Run(driver, func(t *testing.T) { do(t, driver) })
	}
}

// The first demand: a server in a rootless container, and nothing left
// one second after the container's end.
func TestPublishedServer(t *testing.T) {
	need(t)
	ends := []struct {
		name string
		end  func(t *testing.T, r *running)
	}{
		{"normal", func(t *testing.T, r *running) { r.place.must(t, "kill", r.id, "TERM") }},
		{"program killed", func(t *testing.T, r *running) { killed(t, r.init(t)) }},
		{"deleted", func(t *testing.T, r *running) { r.place.must(t, "delete", "--force", r.id) }},
	}
	eachDriver(t, func(t *testing.T, driver string) {
		for _, e := range ends {
			t.Run(e.name, func(t *testing.T) {
				p, port := newPlace(t), freePort(t)
				r := p.serving(t, "--net", driver, "-p", "127.0.0.1:"+port+":80")
				if text, err := fetch("http://127.0.0.1:" + port); err != nil || !strings.HasPrefix(text, "from ") {
					t.Fatalf("the server answers %q, %v", text, err)
				}
				helpers := r.helpers(t)
				if helpers[1].Name != driver {
					t.Errorf("the driver is %s, want %s", helpers[1].Name, driver)
				}
				e.end(t, r)
				goneWithin(t, helpers, time.Second)
				free(t, "tcp", "127.0.0.1:"+port)
				r.wait(t)
				if left := p.containers(); len(left) > 0 {
					t.Errorf("state is left: %v", left)
				}
			})
		}
	})
}

// A detached container, without homerun beside it, keeps its network, and loses it with
// its end.
func TestDetached(t *testing.T) {
	need(t)
	eachDriver(t, func(t *testing.T, driver string) {
		p, port := newPlace(t), freePort(t)
		r := p.serving(t, "-d", "--log-driver", "passthrough", "--net", driver, "-p", "127.0.0.1:"+port+":80")
		r.wait(t)
		if text, err := fetch("http://127.0.0.1:" + port); err != nil || !strings.HasPrefix(text, "from ") {
			t.Fatalf("the server answers %q, %v", text, err)
		}
		helpers := r.helpers(t)
		p.must(t, "delete", "--force", r.id)
		goneWithin(t, helpers, time.Second)
		p.nothingLeft(t, port)
	})
}

// One in the foreground ends with homerun, however that ends, and so does its network.
func TestHomerunKilled(t *testing.T) {
	need(t)
	eachDriver(t, func(t *testing.T, driver string) {
		p, port := newPlace(t), freePort(t)
		r := p.serving(t, "--net", driver, "-p", "127.0.0.1:"+port+":80")
		helpers := r.helpers(t)
		killed(t, r.command.Process.Pid)
		goneWithin(t, helpers, time.Second)
		r.wait(t)
		p.must(t, "delete", "--force", r.id)
		p.nothingLeft(t, port)
	})
}

// nothingLeft is of a container that was deleted.
func (p *place) nothingLeft(t *testing.T, port string) {
	t.Helper()
	free(t, "tcp", "127.0.0.1:"+port)
	if left := p.containers(); len(left) > 0 {
		t.Errorf("state is left: %v", left)
	}
}

// The helper killed takes its driver along, and the container goes on.
func TestHelperKilled(t *testing.T) {
	if !ownHost(t) {
		return
	}
	eachDriver(t, func(t *testing.T, driver string) {
		p := newPlace(t)
		r := p.serving(t, "--net", driver, "-p", "8080:80")
		helpers := r.helpers(t)
		killed(t, helpers[0].PID)
		goneWithin(t, helpers, time.Second)
		silent(t, "http://127.0.0.1:8080")
		if status := p.must(t, "state", r.id); !strings.Contains(status, `"running"`) {
			t.Errorf("state is %s", status)
		}
		p.must(t, "delete", "--force", r.id)
		r.wait(t)
	})
}

// A homerun killed while its helper starts leaves nothing after delete.
func TestKilledWhileConnecting(t *testing.T) {
	if !ownHost(t) {
		return
	}
	bindText(t, "/usr/bin/pasta", "#!/bin/sh\nexec sleep 60\n")
	p := newPlace(t)
	c, cancel := p.command(append(onHost(t, "--name", "web", "--net", "pasta", "-p", "8080:80"), "serve", "80")...)
	defer cancel()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	sleeper := waitFor(t, "sleep 60")
	helper := parent(t, sleeper)
	if name := commandName(helper); name != "homerun-net" {
		t.Fatalf("the driver's parent is %q", name)
	}
	killed(t, c.Process.Pid)
	c.Wait()
	p.must(t, "delete", "--force", "web")
	for _, pid := range []int{sleeper, helper} {
		if end := time.Now().Add(time.Second); !endsBefore(pid, end) {
			t.Errorf("process %d (%s) still runs", pid, commandName(pid))
		}
	}
	if left := p.containers(); len(left) > 0 {
		t.Errorf("state is left: %v", left)
	}
}

// The program has its three streams, of the environment what is the caller's to
// give, and nobody else.
func TestProgramInheritsNothing(t *testing.T) {
	need(t)
	eachDriver(t, func(t *testing.T, driver string) {
		p := newPlace(t)
		out := p.must(t, append(onHost(t, "--net", driver, "-p", freePort(t)+":80"), "look")...)
		var got []string
		for line := range strings.Lines(out) {
			f := strings.Fields(line)
			got = append(got, f[0]+" "+strings.SplitN(f[1], "=", 2)[0])
		}
		slices.Sort(got)
		want := []string{"descriptor 0", "descriptor 1", "descriptor 2", "environment HOME", "environment LANG", "environment LOGNAME", "environment PATH",
			"environment USER", "process 1", "process 2"} // homerun's init, and itself
		if !slices.Equal(got, want) {
			t.Errorf("the program has %q, want %q\n%s", got, want, out)
		}
	})
}

// endsBefore waits for a process that is no child of this one.
func endsBefore(pid int, end time.Time) bool {
	for time.Now().Before(end) {
		if unix.Kill(pid, 0) != nil || commandName(pid) == "" {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

func parent(t *testing.T, pid int) int {
	t.Helper()
	var own, up int
	var state string
	text := readText(fmt.Sprintf("/proc/%d/stat", pid))
	fmt.Sscan(text, &own)
	if _, err := fmt.Sscan(text[strings.LastIndexByte(text, ')')+1:], &state, &up); err != nil {
		t.Fatal(err)
	}
	return up
}
