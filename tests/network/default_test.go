package network

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const interfaces = "cut -d: -f1 -s /proc/net/dev | tr -d ' ' | sort | tr '\\n' ' '"

// Without --net there is pasta, else slirp4netns, else a line that says why.
func TestDefault(t *testing.T) {
	if !ownHost(t) {
		return
	}
	check := func(name, driver string) {
		t.Helper()
		p := newPlace(t)
		r := p.serving(t)
		if got := r.helpers(t)[1].Name; got != driver {
			t.Errorf("%s: the driver is %s, want %s", name, got, driver)
		}
		p.must(t, "delete", "--force", r.id)
		r.wait(t)
		if r.stderr.Len() > 0 {
			t.Errorf("%s: homerun says %q", name, r.stderr)
		}
	}
	check("both", "pasta")
	hide(t, "/usr/bin/pasta")
	check("no pasta", "slirp4netns")
	hide(t, "/usr/bin/slirp4netns")
	unconnected(t, "neither pasta nor slirp4netns is installed in /usr/bin, /usr/local/bin, /bin, /usr/sbin")
}

// unconnected runs a container that gets no network, which homerun says in one
// line; asked for, the same is an error.
func unconnected(t *testing.T, why string) {
	t.Helper()
	p := newPlace(t)
	out, text, err := p.homerun("run", "--rootfs", "/", "--", "sh", "-c", interfaces)
	if want := "homerun: no network: " + why + "\n"; err != nil || out != "lo " || text != want {
		t.Errorf("without a network: %v, %q, %q; want %q", err, out, text, want)
	}
	_, text, err = p.homerun("run", "--rootfs", "/", "--name", "web", "-p", "8080:80", "--", "true")
	if want := "homerun: run web: network: " + why + "\n    hint: "; err == nil || !strings.HasPrefix(text, want) {
		t.Errorf("asked for a port: %v, %q; want %q", err, text, want)
	}
	if left := p.containers(); len(left) > 0 {
		t.Errorf("state is left: %v", left)
	}
}

func TestNoTun(t *testing.T) {
	if !ownHost(t) {
		return
	}
	if err := unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatal(err)
	}
	unconnected(t, "/dev/net/tun: no such file or directory")
	_, text, _ := newPlace(t).homerun("run", "--rootfs", "/", "--name", "web", "--net", "pasta", "--", "true")
	want := "homerun: run web: network: /dev/net/tun: no such file or directory\n" +
		"    hint: load the tun module: modprobe tun, and for good: echo tun > /etc/modules-load.d/tun.conf\n"
	if text != want {
		t.Errorf("homerun says %q, want %q", text, want)
	}
}

// What a port cannot be published for, in exact words, and nothing left.
func TestPortRefused(t *testing.T) {
	if !ownHost(t) {
		return
	}
	taken, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := map[string]string{
		"127.0.0.1:8080:80": "publish 127.0.0.1:8080:80/tcp: port 127.0.0.1:8080/tcp: address already in use\n" +
			"    hint: another program or container listens there; `ss -ltnup` shows which\n",
		"192.0.2.9:8080:80": "publish 192.0.2.9:8080:80/tcp: port 192.0.2.9:8080/tcp: cannot assign requested address\n" +
			"    hint: publish on an address that the host has (`ip address`), or leave the address out\n",
	}
	eachDriver(t, func(t *testing.T, driver string) {
		for port, want := range tests {
			p := newPlace(t)
			_, text, err := p.homerun("run", "--rootfs", "/", "--name", "web", "--net", driver, "-p", port, "--", "true")
			if want := "homerun: run web: " + want; err == nil || text != want {
				t.Errorf("-p %s: %v\n%swant\n%s", port, err, text, want)
			}
			if left := p.containers(); len(left) > 0 {
				t.Errorf("-p %s: state is left: %v", port, left)
			}
		}
	})
}

func TestLowPort(t *testing.T) {
	need(t)
	if text := readText("/proc/sys/net/ipv4/ip_unprivileged_port_start"); text != "1024\n" {
		t.Skipf("needs ports below 1024 to be root's: they begin at %s", text)
	}
	want := "homerun: run web: publish 81:80/tcp: port 81/tcp: permission denied\n    hint: users may bind ports from 1024 on: " +
		"publish on one of those, or have root run sysctl -w net.ipv4.ip_unprivileged_port_start=81\n"
	eachDriver(t, func(t *testing.T, driver string) {
		_, text, err := newPlace(t).homerun("run", "--rootfs", "/", "--name", "web", "--net", driver, "-p", "81:80", "--", "true")
		if err == nil || text != want {
			t.Errorf("%v\n%swant\n%s", err, text, want)
		}
	})
}

func TestNoneHostAndPath(t *testing.T) {
	if !ownHost(t) {
		return
	}
	for net, want := range map[string]string{
		"none": "lo ", "host": "eth0 lo ", "ns:/proc/self/ns/net": "eth0 lo ", "pasta": "lo tap0 ", "slirp4netns": "lo tap0 ",
	} {
		if got := newPlace(t).must(t, "run", "--rootfs", "/", "--net", net, "--", "sh", "-c", interfaces); got != want {
			t.Errorf("--net %s: the interfaces are %q, want %q", net, got, want)
		}
	}
}

// makeBundle makes a bundle whose program prints its interfaces.
func makeBundle(t *testing.T, p *place, change func(config map[string]any)) string {
	t.Helper()
	dir := t.TempDir()
	p.must(t, "spec", "--rootless", "-b", dir)
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	smallRoot(t, filepath.Join(dir, "rootfs"))
	var config map[string]any
	name := filepath.Join(dir, "config.json")
	if err := json.Unmarshal([]byte(readText(name)), &config); err != nil {
		t.Fatal(err)
	}
	process := config["process"].(map[string]any)
	process["terminal"] = false
	process["args"] = []string{"sh", "-c", "cat /proc/net/dev"}
	change(config)
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, string(text))
	return dir
}

// run connects a bundle that asks for it; create, which engines call, does not.
func TestAnnotations(t *testing.T) {
	if !ownHost(t) {
		return
	}
	p := newPlace(t)
	annotate := func(net, ports string) func(map[string]any) {
		return func(c map[string]any) {
			c["annotations"] = map[string]string{"run.homerun.net": net, "run.homerun.ports": ports}
		}
	}
	bundle := makeBundle(t, p, annotate("slirp4netns", "8080:80,127.0.0.1:9090:90/udp"))
	if out := p.must(t, "run", "-b", bundle, "web"); !strings.Contains(out, "tap0:") {
		t.Errorf("the bundle has the interfaces\n%s", out)
	}
	printed := createInto(t, p, bundle)
	if _, err := os.Stat(filepath.Join(p.root, "web", "net.json")); err == nil {
		t.Error("create has connected the container")
	}
	p.must(t, "start", "web")
	// The container is the child of somebody else, who may have been told before
	// how it ended: then wait only warns.
	p.must(t, "wait", "web")
	p.must(t, "delete", "web")
	if out := readText(printed); !strings.Contains(out, "lo:") || strings.Contains(out, "tap0:") {
		t.Errorf("after create the interfaces are\n%s", out)
	}
	for net, want := range map[string]string{
		"host":    "annotations: run.homerun.net: a bundle says host in linux.namespaces\n",
		"nowhere": "annotations: --net \"nowhere\": unknown network\n",
	} {
		_, text, err := p.homerun("run", "-b", makeBundle(t, p, annotate(net, "")), "web")
		if err == nil || !strings.HasPrefix(text, "homerun: run web: "+want) {
			t.Errorf("%s: %v, %q; want %q", net, err, text, want)
		}
	}
}

// createInto creates the container web, whose program will print to a file.
func createInto(t *testing.T, p *place, bundle string) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "printed"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c, cancel := p.command("create", "-b", bundle, "web")
	defer cancel()
	c.Stdout, c.Stderr = file, file
	if err := c.Run(); err != nil {
		t.Fatalf("create: %v\n%s", err, readText(file.Name()))
	}
	return file.Name()
}

// Without a user namespace no driver gets in, whoever runs homerun.
func TestAnnotatedWithoutUser(t *testing.T) {
	if !ownHost(t) {
		return
	}
	p := newPlace(t)
	bundle := makeBundle(t, p, func(c map[string]any) {
		c["annotations"] = map[string]string{"run.homerun.net": "pasta"}
		linux := c["linux"].(map[string]any)
		linux["namespaces"] = slices.DeleteFunc(linux["namespaces"].([]any), func(ns any) bool {
			return ns.(map[string]any)["type"] == "user"
		})
	})
	_, text, err := p.homerun("run", "-b", bundle, "web")
	want := "homerun: run web: annotations: run.homerun.net: linux.namespaces has no user namespace, without which no driver can enter the container's network\n"
	if err == nil || text != want {
		t.Errorf("homerun says %q, %v; want %q", text, err, want)
	}
}

// A namespace that config.json names is left as it is.
func TestAnnotatedPath(t *testing.T) {
	if !ownHost(t) {
		return
	}
	p := newPlace(t)
	bundle := makeBundle(t, p, func(c map[string]any) {
		c["annotations"] = map[string]string{"run.homerun.net": "pasta"}
		for _, ns := range c["linux"].(map[string]any)["namespaces"].([]any) {
			if ns := ns.(map[string]any); ns["type"] == "network" {
				ns["path"] = "/proc/self/ns/net"
			}
		}
	})
	_, text, err := p.homerun("run", "-b", bundle, "web")
	want := "homerun: run web: annotations: run.homerun.net: linux.namespaces gives the network namespace /proc/self/ns/net, which homerun leaves as it is\n"
	if err == nil || text != want {
		t.Errorf("homerun says %q, %v; want %q", text, err, want)
	}
	if _, err := net.InterfaceByName("tap0"); err == nil {
		t.Error("the namespace has got a device")
	}
}

// The network's program stays as long as the container, and is no more late with its
// timers than the caller's programs are.
func TestTimerSlack(t *testing.T) {
	if !ownHost(t) {
		return
	}
	dir := t.TempDir()
	seen, wrapper, original := filepath.Join(dir, "seen"), filepath.Join(dir, "wrapper"), filepath.Join(dir, "pasta")
	text := "#!/bin/sh\ncat /proc/self/timerslack_ns >" + seen + "\nexec " + original + ` "$@"` + "\n"
	if err := os.WriteFile(wrapper, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile("/usr/bin/pasta"); err != nil {
		t.Fatal(err)
	} else if err := os.WriteFile(original, data, 0o755); err != nil {
		t.Fatal(err)
	}
	bindOver(t, wrapper, "/usr/bin/pasta")
	want, err := os.ReadFile("/proc/self/timerslack_ns")
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	r := p.serving(t, "--net", "pasta")
	p.must(t, "delete", "--force", r.id)
	r.wait(t)
	if got, err := os.ReadFile(seen); err != nil || string(got) != string(want) {
		t.Errorf("pasta's timer slack is %q, %v; want %q", got, err, want)
	}
}
