package network

import (
	"net"
	"strings"
	"testing"
)

// Ports are listed, added and removed while the container runs.
func TestPort(t *testing.T) {
	if !ownHost(t) {
		return
	}
	p := newPlace(t)
	r := p.serving(t, "--net", "slirp4netns", "-p", "8080:80")
	list := func(want string) {
		t.Helper()
		if got := p.must(t, "port", r.id); got != want {
			t.Fatalf("port lists %q, want %q", got, want)
		}
	}
	list("8080:80/tcp\n")
	p.must(t, "port", "--add", "127.0.0.1:8081:80", "--add", "8080:80/udp", r.id)
	list("8080:80/tcp\n127.0.0.1:8081:80/tcp\n8080:80/udp\n")
	if text, err := fetch("http://127.0.0.1:8081"); err != nil || !strings.HasPrefix(text, "from ") {
		t.Errorf("the added port answers %q, %v", text, err)
	}
	// slirp4netns shows the host's loopback as its gateway, to which the
	// answer may not go: --disable-host-loopback.
	if got := datagram(t, "192.0.2.1:8080"); !strings.HasPrefix(got, "from ") {
		t.Errorf("the added UDP port answers %q", got)
	}
	p.must(t, "port", "--remove", "8080:80", r.id)
	list("127.0.0.1:8081:80/tcp\n8080:80/udp\n")
	silent(t, "http://127.0.0.1:8080")
	free(t, "tcp", "127.0.0.1:8080")
	_, text, err := p.homerun("port", "--add", "127.0.0.1:8081:81", r.id)
	if err == nil || !strings.Contains(text, "8081") {
		t.Errorf("a port added twice: %v, %q", err, text)
	}
	list("127.0.0.1:8081:80/tcp\n8080:80/udp\n")
	p.must(t, "delete", "--force", r.id)
	r.wait(t)
}

// pasta publishes its first ports for good, and says so.
func TestPortOfPasta(t *testing.T) {
	if !ownHost(t) {
		return
	}
	p := newPlace(t)
	r := p.serving(t, "--net", "pasta", "-p", "8080:80")
	p.must(t, "port", "--add", "8081:80", r.id)
	for _, port := range []string{"8080", "8081"} {
		if text, err := fetch("http://127.0.0.1:" + port); err != nil || !strings.HasPrefix(text, "from ") {
			t.Errorf("port %s answers %q, %v", port, text, err)
		}
	}
	p.must(t, "port", "--remove", "8081:80", r.id)
	silent(t, "http://127.0.0.1:8081")
	if _, text, err := p.homerun("port", "--remove", "8080:80", r.id); err != nil {
		want := "homerun: port web: remove port 8080:80/tcp: pasta published it when the container started\n" +
			"    hint: taking ports back needs pasta of 2026-05-07 or newer, or a container started with --net slirp4netns\n"
		if text != want {
			t.Errorf("homerun says %q, want %q", text, want)
		}
		answers(t, "http://192.0.2.1:8080", "from 192.0.2.1")
	}
	p.must(t, "delete", "--force", r.id)
	r.wait(t)
}

// A container without a helper has no ports to list.
func TestPortWithoutHelper(t *testing.T) {
	if !ownHost(t) {
		return
	}
	write(t, "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
	p := newPlace(t)
	r := p.serving(t, "--net", "host")
	_, text, err := p.homerun("port", r.id)
	want := "homerun: port web: network: the container has no network helper that runs\n" +
		"    hint: only containers of `homerun run --net pasta` or `--net slirp4netns` have one, while they run\n"
	if err == nil || text != want {
		t.Errorf("homerun says %q, %v; want %q", text, err, want)
	}
	answers(t, "http://127.0.0.1:80", "from 127.0.0.1")
	p.must(t, "delete", "--force", r.id)
	r.wait(t)
}

// The program sees who asks, by TCP and by UDP, IPv4 and IPv6.
func TestSourceAddress(t *testing.T) {
	if !ownHost(t) {
		return
	}
	eachDriver(t, func(t *testing.T, driver string) {
		p := newPlace(t)
		r := p.serving(t, "--net", driver, "-p", "8080:80", "-p", "8080:80/udp", "-p", "[::1]:9090:80")
		if text, err := fetch("http://192.0.2.1:8080"); err != nil || text != "from 192.0.2.1" && driver == "pasta" {
			t.Errorf("TCP: %q, %v", text, err)
		}
		if got := datagram(t, "192.0.2.1:8080"); got != "from 192.0.2.1" {
			t.Errorf("UDP: %q", got)
		}
		if text, err := fetch("http://[2001:db8::1]:8080"); err != nil || !strings.HasPrefix(text, "from ") {
			t.Errorf("IPv6: %q, %v", text, err)
		}
		if text, err := fetch("http://[::1]:9090"); err != nil || !strings.HasPrefix(text, "from ") {
			t.Errorf("[::1]: %q, %v", text, err)
		}
		silent(t, "http://127.0.0.1:9090")
		helpers := r.helpers(t)
		p.must(t, "delete", "--force", r.id)
		goneWithin(t, helpers, 1e9)
		free(t, "tcp", "[::1]:9090")
		free(t, "udp", ":8080")
		r.wait(t)
	})
}

// A container reaches a server of the host by its name, and not the host's
// loopback.
func TestHostAddress(t *testing.T) {
	if !ownHost(t) {
		return
	}
	public, private := hostServer(t, "192.0.2.1:7000"), hostServer(t, "127.0.0.1:7001")
	defer public.Close()
	defer private.Close()
	eachDriver(t, func(t *testing.T, driver string) {
		p := newPlace(t)
		out := p.must(t, append(onHost(t, "--net", driver), "get", "http://host.containers.internal:7000")...)
		if out != "the host\n" {
			t.Errorf("the host answers %q", out)
		}
		for _, address := range []string{"10.0.2.2:7001", "127.0.0.1:7001"} {
			if out, _, err := p.homerun(append(onHost(t, "--net", driver), "get", "http://"+address)...); err == nil {
				t.Errorf("the host's loopback answers %q at %s", out, address)
			}
		}
	})
}

// hostServer answers "the host" to whoever asks.
func hostServer(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("HTTP/1.0 200 OK\r\n\r\nthe host"))
			c.(*net.TCPConn).CloseWrite()
			b := make([]byte, 4096)
			for n := 1; n > 0; n, _ = c.Read(b) {
			}
			c.Close()
		}
	}()
	return l
}
