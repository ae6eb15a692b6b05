package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"sync"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
	"github.com/homerun-oci/homerun/proc"
)

// helper is one container's network.
type helper struct {
	request  netns.Request
	settings settings
	// container is the pidfd of the container's init.
	container int
	// gone is closed when the container's init has ended.
	gone chan struct{}
	link *link
	// publisher is set once the link is up.
	publisher *publisher
	control   net.Listener
	note      string
	// findPasta and findSlirp look for the drivers once, whoever asks first.
	findPasta func() (*pasta, error)
	findSlirp func() (slirp, error)

	// life lasts until somebody sends SIGTERM or the container's init ends.
	life   context.Context
	forget func()
	// stop gets one value for the first OpStop.
	stop chan struct{}
}

// link is a driver that has connected the container.
type link struct {
	driver  netns.Mode
	process *process
	// fixed are the forwards that the driver's own options publish.
	fixed []netns.Forward
	// pesto reports whether a running pasta takes changes through its socket.
	pesto bool
	// closers end what belongs to the driver, last one first.
	closers []func()
}

func (l *link) close() {
	l.process.kill()
	for i := len(l.closers) - 1; i >= 0; i-- {
		l.closers[i]()
	}
}

// newHelper is a helper that lasts as long as life, until forget is called.
func newHelper(r netns.Request, life context.Context, forget func()) *helper {
	h := &helper{request: r, life: life, forget: forget, stop: make(chan struct{}, 1)}
	h.findPasta, h.findSlirp = sync.OnceValues(h.lookForPasta), sync.OnceValues(h.lookForSlirp)
	return h
}

// open does the request, in the order in which it can fail cheaply. What a driver's
// help says, which takes it some milliseconds, is asked meanwhile.
func (h *helper) open() error {
	if err := h.watch(); err != nil {
		return err
	}
	if h.request.Driver == netns.Slirp4netns {
		go h.findSlirp()
	} else {
		go h.findPasta()
	}
	if err := checkTun(); err != nil {
		return err
	}
	h.settings = measure(h.request)
	if err := h.settings.hidden(); err != nil {
		return err
	}
	if err := h.settings.checkPorts(h.request.Ports); err != nil {
		return err
	}
	if err := h.record(); err != nil {
		return err
	}
	if err := h.startDriver(); err != nil {
		return err
	}
	h.settings.six.Container = h.address6()
	h.publisher = newPublisher(h)
	if err := h.publisher.start(h.request.Ports); err != nil {
		return err
	}
	if err := h.listen(); err != nil {
		return err
	}
	return h.record()
}

// watch holds the container's init by a pidfd and learns of its end.
func (h *helper) watch() error {
	h.gone = make(chan struct{})
	h.container = h.request.PIDFD
	if h.container == 0 {
		fd, err := unix.PidfdOpen(h.request.PID, 0)
		if err != nil {
			return fmt.Errorf("network: container process %d: %w", h.request.PID, err)
		}
		h.container = fd
	}
	if ended, err := proc.AwaitEnd(context.Background(), h.container, 0); err != nil || ended {
		return &fault.Error{What: fmt.Sprintf("network: container process %d", h.request.PID), Why: "ended before it was connected"}
	}
	var end func()
	h.life, end = context.WithCancel(h.life)
	go func() {
		_, _ = proc.AwaitEnd(context.Background(), h.container, -1)
		close(h.gone)
		end()
	}()
	return nil
}

// startDriver starts the driver that was asked for, or the first that works.
func (h *helper) startDriver() (err error) {
	switch h.request.Driver {
	case netns.Pasta:
		h.link, err = h.startPasta()
	case netns.Slirp4netns:
		h.link, err = h.startSlirp()
	default:
		h.link, err = h.startAny()
	}
	return err
}

// startAny prefers pasta: it is faster, and slirp4netns is being retired. What
// pasta cannot do on this host, slirp4netns often can (without a default route,
// under an AppArmor that knows no pasta); a port that is taken, or a missing tun
// device, it cannot.
//
// An old pasta comes last. That of Debian 12 (March 2023) was seen to stall and
// to repeat bytes of one upload in two (Linux 6.18, with any of its options),
// where slirp4netns moved the same data without an error.
func (h *helper) startAny() (*link, error) {
	first, second := h.startPasta, h.startSlirp
	h.note = ""
	if p, err := h.findPasta(); err == nil && p.old() {
		first, second = second, first
		h.note = "network: pasta is older than 2024-10-30 and loses data"
	}
	l, err := first()
	if err == nil || hopeless(err) {
		return h.chosen(l, nil), err
	}
	l, other := second()
	switch {
	case other == nil:
		return h.chosen(l, err), nil
	case missing(err) && missing(other):
		return nil, netns.ExplainMissing(netns.Auto, safeDirectories()[:4])
	case missing(other):
		return nil, err
	}
	return nil, other
}

// chosen notes what the user may wonder about: the driver is not pasta, or is
// one to be replaced. why is the error of the driver that was tried before.
func (h *helper) chosen(l *link, why error) *link {
	switch {
	case l == nil || missing(why) && h.note == "":
		return l
	case l.driver == netns.Slirp4netns && h.note == "":
		h.note = fmt.Sprintf("network: using slirp4netns: %v", why)
	case l.driver == netns.Slirp4netns:
		h.note += ": using slirp4netns"
	case h.note != "":
		h.note += ", and there is no slirp4netns that works: install one, or a newer passt"
	}
	return l
}

// hopeless reports whether the other driver would meet the same obstacle.
func hopeless(err error) bool {
	switch fault.Code(err) {
	case netns.PortBusy, netns.PortPrivileged, netns.PortAddress, netns.NoTun:
		return true
	}
	return false
}

func missing(err error) bool { return fault.Code(err) == netns.NotInstalled }

// result is what the caller is told.
func (h *helper) result() netns.Result {
	s := h.settings
	r := netns.Result{
		OK: true, Driver: h.link.driver, Device: netns.Device, MTU: s.mtu, Host: s.hostAddress(),
		Processes: h.processes(), Note: h.note, Address6: s.six.Container,
	}
	if s.v4 {
		r.Address, r.Gateway = s.four.Container, s.four.Gateway
	}
	r.DNS = s.pastaDNS()
	if h.link.driver == netns.Slirp4netns {
		r.DNS = s.slirpDNS()
	}
	return r
}

// processes are the helper, first, and its children.
func (h *helper) processes() []netns.Process {
	list := []netns.Process{{Name: client.Name, PID: os.Getpid()}}
	if h.link != nil {
		list = append(list, netns.Process{Name: string(h.link.driver), PID: h.link.process.pid()})
	}
	for i := range list {
		id, _ := proc.Of(list[i].PID)
		list[i].Start = id.StartTime
	}
	return list
}

// record writes down what delete has to end: first the helper alone, so that
// it is known from its start.
func (h *helper) record() error {
	data, err := json.Marshal(netns.Record{Version: netns.Version, Processes: h.processes()})
	if err != nil {
		return err
	}
	next := netns.RecordFile + ".new"
	if err := os.WriteFile(next, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := os.Rename(next, netns.RecordFile); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	return nil
}

// wait is the rest of the helper's life.
func (h *helper) wait() int {
	select {
	case <-h.gone:
	case <-h.life.Done():
	case <-h.stop:
	case <-h.link.process.gone:
		log.Printf("%s ended: the container has no network any more", h.link.driver)
		return 1
	}
	return 0
}

// close undoes what was done so far.
func (h *helper) close() {
	if h.control != nil {
		h.control.Close()
	}
	if h.publisher != nil {
		h.publisher.close()
	}
	if h.link != nil {
		h.link.close()
	}
	os.Remove(netns.RecordFile)
	h.forget()
}
