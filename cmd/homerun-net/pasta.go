package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
)

// How pasta is run
//
// In the foreground, as our child. Left to itself it forks into the background
// when it is ready and then watches its namespace; the pasta of Debian 12 (March
// 2023) in PID mode never sees it go and stays for ever. As a child it gets a
// parent-death signal, its end is noticed, and it is killed with the container.
//
// The foreground has no exit status to say "ready" with. pasta writes its PID
// file at that same moment, so the PID file is a FIFO of ours: a read returns
// when the container is connected, at once and without polling.
//
// pasta binds what it can and fails only if a whole option could not be bound
// at all: of `-t 8080:80`, IPv4 may be missing because somebody has that port,
// and of a range any number. Ports are therefore checked before it starts
// (which also gives the kernel's errno) and again, to be taken, when it is
// ready.
//
// The pasta of 2023 sends what comes in by IPv6 to the last source address that
// it saw, also when that was the :: of duplicate address detection. Published
// ports would be dead for the container's first seconds: accept_dad is 0 while
// it makes its device.

// The files of pasta in the state directory.
const (
	pastaPIDFile = "pasta.pid"
	pastaSocket  = "pasta.sock"
)

// pasta is an installed pasta: its path, and what pastas differ in.
type pasta struct {
	path string
	// hostLoToNSLo: --host-lo-to-ns-lo, 2024-10-30. Without it newer ones
	// deliver connections to the host's loopback at the container's outer
	// address; older ones always deliver them to its loopback.
	hostLoToNSLo bool
	// confPath: --conf-path for pesto, 2026-05-07, to change ports later.
	confPath bool
}

// old is true of a pasta from before 2024-10-30.
func (p *pasta) old() bool { return !p.hostLoToNSLo }

// lookForPasta reads pasta's help: one run says about every option. That of Debian 13
// (May 2025) exits before it has written more than 4096 bytes of it, and is asked for
// what may be in the rest.
func (h *helper) lookForPasta() (*pasta, error) {
	path, err := find("pasta")
	if err != nil {
		return nil, err
	}
	text := helpText(h.life, path)
	_, noPesto := find("pesto")
	return &pasta{
		path:         path,
		hostLoToNSLo: h.knows(path, text, "--host-lo-to-ns-lo"),
		confPath:     noPesto == nil && h.knows(path, text, "--conf-path", pastaSocket),
	}, nil
}

// knows reports whether a program has an option, from its help or, where that
// is cut off, by giving it the option.
func (h *helper) knows(path, help string, option ...string) bool {
	if strings.Contains(help, option[0]) || len(help) != 4096 {
		return strings.Contains(help, option[0])
	}
	return !strings.Contains(helpText(h.life, path, option...), "unrecognized option")
}

// helpText is what a program prints for --help after other options. pasta exits with status 1
// after it and prints to either stream, depending on its age.
func helpText(ctx context.Context, path string, options ...string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, path, append(options, "--help")...)
	command.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, _ := command.CombinedOutput()
	return string(out)
}

// arguments is pasta's command line. fixed are the ports that it publishes
// from the start to its end.
func (p *pasta) arguments(s settings, fixed []netns.Forward) []string {
	a := []string{
		"--foreground", "--quiet", "--pid", pastaPIDFile, "--config-net",
		"--ns-ifname", netns.Device, "--mtu", strconv.Itoa(s.mtu),
	}
	if s.v4 {
		a = append(a, "--address", s.four.Container.String(), "--netmask", strconv.Itoa(s.four.Bits),
			"--gateway", s.four.Gateway.String())
	} else {
		a = append(a, "--ipv6-only")
	}
	if s.v6 {
		a = append(a, "--address", s.six.Container.String(), "--gateway", s.six.Gateway.String())
	} else {
		a = append(a, "--ipv4-only")
	}
	for _, d := range s.pastaDNS() {
		a = append(a, "--dns-forward", d.String())
	}
	if !s.loopback {
		a = append(a, "--no-map-gw")
	}
	if p.hostLoToNSLo {
		a = append(a, "--host-lo-to-ns-lo")
	}
	if p.confPath {
		a = append(a, "--conf-path", pastaSocket)
	}
	// "none" for the way out of the namespace: its default, "auto", would open
	// the host's loopback to the container.
	a = append(a, "--tcp-ns", "none", "--udp-ns", "none")
	a = append(a, pastaPorts("--tcp-ports", netns.TCP, fixed)...)
	a = append(a, pastaPorts("--udp-ports", netns.UDP, fixed)...)
	return append(a, s.pastaTarget()...)
}

// pastaDNS are the addresses at which pasta answers DNS.
func (s settings) pastaDNS() []netip.Addr {
	var list []netip.Addr
	if s.v4 && s.forward4 {
		list = append(list, s.four.DNS)
	}
	if s.v6 && s.forward6 {
		list = append(list, s.six.DNS)
	}
	return list
}

// pastaPorts spells the forwards of one protocol; none of them has to be said,
// as the default is to forward whatever the container binds.
func pastaPorts(option string, p netns.Protocol, fixed []netns.Forward) []string {
	var a []string
	for _, f := range fixed {
		if f.Protocol == p {
			a = append(a, option, pastaSpec(f))
		}
	}
	if a == nil {
		a = []string{option, "none"}
	}
	return a
}

func pastaSpec(f netns.Forward) string {
	last := func(first uint16) int { return int(first) + int(f.Count) - 1 }
	spec := fmt.Sprintf("%d-%d:%d-%d", f.HostPort, last(f.HostPort), f.ContainerPort, last(f.ContainerPort))
	if f.HostIP.IsValid() {
		return f.HostIP.String() + "/" + spec
	}
	return spec
}

// pastaTarget names the namespaces. Joining the user namespace that one is in
// already is an error, so then there is the network namespace only.
func (s settings) pastaTarget() []string {
	if s.sameUser {
		return []string{"--netns-only", "--netns", fmt.Sprintf("/proc/%d/ns/net", s.pid)}
	}
	target := []string{strconv.Itoa(s.pid)}
	if os.Geteuid() == 0 {
		// As root pasta becomes nobody, who may not enter the namespaces.
		return append([]string{"--runas", "0:0"}, target...)
	}
	return target
}

// reaches reports whether pasta itself can publish a forward: it must speak the
// protocol of the host's address.
func (s settings) reaches(a netip.Addr) bool {
	return !a.IsValid() || a.Is4() && s.v4 || a.Is6() && s.v6
}

// startPasta connects the container through pasta.
func (h *helper) startPasta() (*link, error) {
	p, err := h.findPasta()
	if err != nil {
		return nil, err
	}
	var fixed []netns.Forward
	for _, f := range h.request.Ports {
		if h.settings.reaches(f.HostIP) && !p.confPath {
			fixed = append(fixed, f)
		}
	}
	ready, err := makeFIFO(pastaPIDFile)
	if err != nil {
		return nil, err
	}
	defer os.Remove(pastaPIDFile)
	defer ready.Close()
	// Newer ones switch duplicate address detection off themselves.
	if h.settings.v6 && p.old() {
		defer h.skipAddressDetection()()
	}
	l, err := runPasta(h.life, p.path, p.arguments(h.settings, fixed), ready)
	if err != nil {
		return nil, err
	}
	l.fixed = fixed
	l.pesto = p.confPath
	if err := checkHeld(fixed, h.settings); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func runPasta(ctx context.Context, path string, arguments []string, ready *os.File) (*link, error) {
	os.Remove(pastaSocket)
	command := exec.Command(path, arguments...)
	command.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	p, err := launch(command)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, ready); err != nil {
		return nil, p.explain(netns.Pasta, err)
	}
	return &link{driver: netns.Pasta, process: p, closers: []func(){func() { os.Remove(pastaSocket) }}}, nil
}

// makeFIFO makes a FIFO and opens both of its ends, so that reading waits for a
// writer instead of seeing the end of the file.
func makeFIFO(path string) (*os.File, error) {
	os.Remove(path)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("network: mkfifo %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	return f, nil
}
