package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
)

// fails connects a box, which must fail and leave nothing behind.
func fails(t *testing.T, driver netns.Mode, ports ...string) *fault.Error {
	t.Helper()
	b := newBox(t)
	err := b.connect(netns.Network{Mode: driver}, ports...)
	if err == nil {
		t.Fatalf("connected: %+v", b.result)
	}
	leftOnlyLog(t, b.state)
	return err.(*fault.Error)
}

// TestPortErrors: pasta of 2023 would keep silent about most of these.
func TestPortErrors(t *testing.T) {
	needWorld(t)
	tcp, err := net.Listen("tcp4", "0.0.0.0:8090")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:8091")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, driver := range []netns.Mode{netns.Pasta, netns.Slirp4netns, netns.Auto} {
		for _, c := range []struct {
			port, message, hint string
			reason              string
		}{
			{"8090:80", "publish 8090:80/tcp: port 8090/tcp: address already in use", "ss -ltnup", netns.PortBusy},
			{"8088-8092:80-84", "publish 8088-8092:80-84/tcp: port 8090/tcp: address already in use", "ss -ltnup", netns.PortBusy},
			{"127.0.0.1:8091:53/udp", "publish 127.0.0.1:8091:53/udp: port 127.0.0.1:8091/udp: address already in use", "ss -ltnup", netns.PortBusy},
			{"80:80", "publish 80:80/tcp: port 80/tcp: permission denied", "ip_unprivileged_port_start=80", netns.PortPrivileged},
			{"[2001:db8::77]:8080:80", "publish [2001:db8::77]:8080:80/tcp: port [2001:db8::77]:8080/tcp: cannot assign requested address", "ip address", netns.PortAddress},
		} {
			e := fails(t, driver, c.port)
			if e.Error() != c.message || e.Code != c.reason || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%s %s: %+v", driver, c.port, e)
			}
		}
	}
}

func TestTunErrors(t *testing.T) {
	w := needWorld(t)
	if err := w.tun("closed", 0o600); err != nil {
		t.Fatal(err)
	}
	e := fails(t, netns.Auto)
	if e.Error() != "network: /dev/net/tun: permission denied" || !strings.Contains(e.Hint, "chmod 0666 /dev/net/tun") {
		t.Errorf("closed: %+v", e)
	}
	unix.Unmount("/dev/net/tun", 0)
	if err := unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	e = fails(t, netns.Auto)
	if e.Error() != "network: /dev/net/tun: no such file or directory" || !strings.Contains(e.Hint, "modprobe tun") {
		t.Errorf("missing: %+v", e)
	}
	unix.Unmount("/dev/net", 0)
	connected(t, netns.Auto)
}

// TestNoRoute: pasta cannot, slirp4netns can, and which of them it is is said.
func TestNoRoute(t *testing.T) {
	w := needWorld(t)
	if err := w.routes(false); err != nil {
		t.Fatal(err)
	}
	defer w.routes(true)
	installPasta(t, help2026)
	e := fails(t, netns.Pasta)
	if e.Code != netns.NoRoute || !strings.HasPrefix(e.Error(), "pasta: ") || !strings.Contains(e.Hint, "default route") {
		t.Errorf("%+v", e)
	}
	b := connected(t, netns.Auto, "8080:80")
	if b.result.Driver != netns.Slirp4netns || !strings.HasPrefix(b.result.Note, "network: using slirp4netns: pasta: ") {
		t.Errorf("%+v", b.result)
	}
	b.must(t, task{Op: "serve", Network: "tcp", Address: ":80"})
	if _, err := (task{Network: "tcp", Address: "127.0.0.1:8080", Data: "x"}).ask(); err != nil {
		t.Error(err)
	}
}

// hide puts something else over a program for the time of a test.
func hide(t *testing.T, name string, content string, mode os.FileMode) {
	t.Helper()
	w := needWorld(t)
	over := filepath.Join(w.dir, fmt.Sprint(name, time.Now().UnixNano()))
	if err := os.WriteFile(over, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.EvalSymlinks("/usr/bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(over, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
}

func TestNotInstalled(t *testing.T) {
	hide(t, "pasta", "", 0o644)
	if b := connected(t, netns.Auto); b.result.Driver != netns.Slirp4netns {
		t.Errorf("%+v", b.result)
	}
	e := fails(t, netns.Pasta)
	if !strings.HasPrefix(e.Error(), "network: pasta is not installed in /usr/bin, ") || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	// Writable by everybody is as good as absent.
	hide(t, "slirp4netns", "#!/bin/sh\nexit 0\n", 0o777)
	os.Chmod("/usr/bin/slirp4netns", 0o777)
	e = fails(t, netns.Auto)
	if !strings.HasPrefix(e.Error(), "network: neither pasta nor slirp4netns is installed in /usr/bin, ") {
		t.Errorf("%+v", e)
	}
}

// hideFirewall puts empty files over nft and iptables.
func hideFirewall(t testing.TB) {
	t.Helper()
	over := filepath.Join(needWorld(t).dir, "empty")
	os.WriteFile(over, nil, 0o644)
	for _, name := range []string{"nft", "iptables"} {
		path, err := find(name)
		if err != nil {
			continue
		}
		if path, err = filepath.EvalSymlinks(path); err == nil {
			err = unix.Mount(over, path, "", unix.MS_BIND, "")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
	}
}

// TestNoFirewallTools: without nft and iptables slirp4netns's own ports keep
// the client's address, and rootlesskit's would not.
func TestNoFirewallTools(t *testing.T) {
	hideFirewall(t)
	b := connected(t, netns.Slirp4netns, "8080:80")
	b.must(t, task{Op: "serve", Network: "tcp", Address: ":80"})
	from(t, "tcp", ask(t, b.w.outside, "tcp", "192.0.2.1:8080"), "192.0.2.2")
	list, err := client.List(t.Context(), b.state)
	if err != nil || len(list) != 1 || list[0].By != bySlirp {
		t.Error(list, err)
	}
}

// fakePasta is a pasta of another year as far as its help goes, on top of the
// one that is installed, which may not know the newest options.
const fakePasta = `#!/bin/sh
for a; do
	[ "$a" = --help ] && { echo "%s"; exit 0; }
done
echo "$*" > ` + fakeArguments + `
skip=
for a; do
	shift
	case $a in
	--host-lo-to-ns-lo) continue ;;
	--conf-path) skip=1; continue ;;
	esac
	[ -n "$skip" ] && { skip=; continue; }
	set -- "$@" "$a"
done
exec %s "$@"
`

const (
	fakeArguments = "arguments"
	help2023      = "--no-map-gw"
	help2026      = "--no-map-gw --host-lo-to-ns-lo --map-guest-addr --conf-path"
)

// fakePesto writes down what it is told.
const fakePesto = `#!/bin/sh
[ "$1" = --version ] || echo "$*" >> pesto-calls
`

// installPasta puts a pasta with that help into place.
func installPasta(t *testing.T, help string) {
	t.Helper()
	real := filepath.Join(needWorld(t).dir, "pasta")
	if _, err := os.Stat(real); err != nil {
		data, err := os.ReadFile("/usr/bin/pasta")
		if err == nil {
			err = os.WriteFile(real, data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hide(t, "pasta", fmt.Sprintf(fakePasta, help, real), 0o755)
}

// TestAuto: a pasta that can be trusted comes first, an old one last.
func TestAuto(t *testing.T) {
	t.Run("old pasta", func(t *testing.T) {
		installPasta(t, help2023)
		b := connected(t, netns.Auto)
		if b.result.Driver != netns.Slirp4netns || b.result.Note != "network: pasta is older than 2024-10-30 and loses data: using slirp4netns" {
			t.Errorf("%s %q", b.result.Driver, b.result.Note)
		}
	})
	t.Run("old pasta alone", func(t *testing.T) {
		installPasta(t, help2023)
		hide(t, "slirp4netns", "", 0o644)
		b := connected(t, netns.Auto)
		if b.result.Driver != netns.Pasta || !strings.HasSuffix(b.result.Note, "install one, or a newer passt") {
			t.Errorf("%s %q", b.result.Driver, b.result.Note)
		}
	})
	t.Run("new pasta", func(t *testing.T) {
		installPasta(t, help2026)
		b := connected(t, netns.Auto)
		if b.result.Driver != netns.Pasta || b.result.Note != "" {
			t.Errorf("%s %q", b.result.Driver, b.result.Note)
		}
	})
}

func TestNewPasta(t *testing.T) {
	installPasta(t, help2026)
	pesto := "/usr/local/bin/pesto"
	if err := unix.Mount("tmpfs", "/usr/local/bin", "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount("/usr/local/bin", unix.MNT_DETACH)
	if err := os.WriteFile(pesto, []byte(fakePesto), 0o755); err != nil {
		t.Fatal(err)
	}
	b := connected(t, netns.Pasta, "8080:80", "127.0.0.1:5300:53/udp")
	if _, err := client.Remove(t.Context(), b.state, []netns.Forward{forward(t, "8080:80")}); err != nil {
		t.Error(err)
	}
	calls := readText(filepath.Join(b.state, "pesto-calls"))
	want := `-A --tcp-ports=0.0.0.0/8080:80 pasta.sock
-A --tcp-ports=::/8080:80 pasta.sock
-A --udp-ports=127.0.0.1/5300:53 pasta.sock
-D --tcp-ports=0.0.0.0/8080:80 pasta.sock
-D --tcp-ports=::/8080:80 pasta.sock
`
	if calls != want {
		t.Errorf("pesto was told\n%s", calls)
	}
	arguments := readText(filepath.Join(b.state, fakeArguments))
	if !strings.Contains(arguments, "--host-lo-to-ns-lo --conf-path pasta.sock") {
		t.Error(arguments)
	}
}

// TestUndumpable: the stage forbids others to look at it; its user may.
func TestUndumpable(t *testing.T) {
	t.Setenv(dumpable, "0")
	for _, driver := range drivers() {
		ask(t, connected(t, driver).agent, "tcp", "192.0.2.2:7")
	}
}

// TestHostPIDs: a container that sees the host's processes is not connected. Its
// root could trace those that do it, since they are in its user namespace, and go
// through them to the host's files and network.
func TestHostPIDs(t *testing.T) {
	t.Setenv(hostPIDs, "1")
	for _, driver := range drivers() {
		err := newBox(t).connect(netns.Network{Mode: driver}, "8080:80")
		if err == nil || !strings.Contains(err.Error(), "no PID namespace of its own") {
			t.Errorf("%s: %v", driver, err)
		}
	}
}

// TestRoot: a container of root's without a user namespace.
func TestRoot(t *testing.T) {
	w := needWorld(t)
	state := w.directory(t)
	a, err := startAgent(w.command(partAgent, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}))
	if err != nil {
		t.Fatal(err)
	}
	defer a.kill()
	h, err := client.Start(filepath.Join(w.dir, client.Name), netns.NewRequest(netns.Network{Mode: netns.Auto}, a.pid, state, nil), -1)
	if err != nil {
		t.Fatal(err)
	}
	result, err := h.Wait(t.Context(), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Stop(context.Background(), state)
	from(t, "root", ask(t, a, "tcp", "192.0.2.2:7"), "192.0.2.1")
	t.Logf("%s %s", result.Driver, result.Note)
}

// TestBadRequests: the answer is one line, and an exit status.
func TestBadRequests(t *testing.T) {
	b := newBox(t)
	good := netns.NewRequest(netns.Network{Mode: netns.Auto}, b.pid, b.state, nil)
	open := b.w.directory(t)
	os.Chown(open, int(b.w.uid), int(b.w.gid))
	os.Chmod(open, 0o777)
	for want, change := range map[string]func(*netns.Request){
		"homerun-net: state directory: owned by": func(r *netns.Request) { r.StateDir = open },
		"homerun-net: request: unknown driver":   func(r *netns.Request) { r.Driver = "cable" },
		"homerun-net: request: protocol version": func(r *netns.Request) { r.Version = 99 },
	} {
		r := good
		change(&r)
		if err := b.request(r); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("want %s: %v", want, err)
		}
	}
}

// TestContainerGone: a container that ended first is no container.
func TestContainerGone(t *testing.T) {
	w := needWorld(t)
	state := w.directory(t)
	a, err := startAgent(w.command(partAgent, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}))
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(a.pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	a.kill()
	h, err := client.Start(filepath.Join(w.dir, client.Name), netns.NewRequest(netns.Network{Mode: netns.Auto}, a.pid, state, nil), pidfd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = h.Wait(t.Context(), 20*time.Second); err == nil || !strings.HasSuffix(err.Error(), "ended before it was connected") {
		t.Error(err)
	}
	leftOnlyLog(t, state)
}

// TestInstallation: a helper that is missing is said to be.
func TestInstallation(t *testing.T) {
	const one, other = "/nowhere/bin/homerun-net", "/nowhere/libexec/homerun/homerun-net"
	for want, places := range map[string][]string{
		"network: homerun-net is neither at " + one + " nor at " + other: {one, other},
		"network: homerun-net is not at " + one:                          {one},
	} {
		if err := client.NotInstalled(places); err.Error() != want {
			t.Error(err)
		}
	}
}
