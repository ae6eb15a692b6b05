package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rootless-containers/rootlesskit/v3/pkg/api"
	"github.com/rootless-containers/rootlesskit/v3/pkg/port"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
	plaintext "github.com/homerun-oci/homerun/plain"
)

// fakeDriver publishes nothing and remembers what it should. It refuses every
// seventh port, and the first attempt to take every eleventh back.
type fakeDriver struct {
	port.ParentDriver
	mu     sync.Mutex
	next   int
	open   map[int]port.Spec
	failed map[int]bool
}

func (d *fakeDriver) AddPort(_ context.Context, s port.Spec) (*port.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.ParentPort%7 == 0 {
		return nil, errors.New("address already in use")
	}
	d.next++
	d.open[d.next] = s
	return &port.Status{ID: d.next, Spec: s}, nil
}

func (d *fakeDriver) RemovePort(_ context.Context, id int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.open[id]
	switch {
	case !ok:
		return errors.New("no such port")
	case s.ParentPort%11 == 0 && !d.failed[id]:
		d.failed[id] = true
		return errors.New("not now")
	}
	delete(d.open, id)
	return nil
}

func (d *fakeDriver) Info(context.Context) (*api.PortDriverInfo, error) {
	return &api.PortDriverInfo{}, nil
}

// published are the ports that the driver has open, as the list has them.
func (d *fakeDriver) published() (ports []int) {
	for s := range maps.Values(d.open) {
		ports = append(ports, s.ParentPort)
	}
	slices.Sort(ports)
	return ports
}

// fakeHelper has a network that is connected and a port driver.
func fakeHelper() (*helper, *fakeDriver) {
	d := &fakeDriver{open: map[int]port.Spec{}, failed: map[int]bool{}}
	h := &helper{link: &link{driver: netns.Pasta}, stop: make(chan struct{}, 1)}
	h.publisher = newPublisher(h)
	h.publisher.managers[byBuiltin] = &manager{driver: d}
	return h, d
}

// say sends bytes to the helper as a client does, and returns what it answers.
func say(t *testing.T, h *helper, data []byte) []byte {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range pair {
		file := os.NewFile(uintptr(fd), "control")
		c, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ends[i] = c.(*net.UnixConn)
	}
	go func() {
		_, _ = ends[0].Write(data) // the helper reads no more than it takes
		_ = ends[0].CloseWrite()
	}()
	if err := h.converse(ends[1]); err != nil {
		t.Fatalf("%.200q: %v", data, err)
	}
	ends[1].Close()
	answer, err := io.ReadAll(ends[0])
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Fatalf("%.200q: %v", data, err)
	}
	return answer
}

// FuzzConverse: whatever is sent to the control socket is answered, in one line
// that says whether it was done; the list is what the drivers have open; and what
// failed has published nothing more, but for what the driver does not take back.
func FuzzConverse(f *testing.F) {
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		h, d := fakeHelper()
		for _, data := range [][]byte{first, second, third} {
			before := d.published()
			var reply netns.Reply
			answer := say(t, h, data)
			if err := json.Unmarshal(answer, &reply); err != nil || strings.Count(string(answer), "\n") != 1 {
				t.Fatalf("%q: %q, %v", data, answer, err)
			}
			if reply.OK != (reply.Error == "") || reply.OK != (reply.Err() == nil) {
				t.Fatalf("%q: %s", data, answer)
			}
			if plaintext.Text(reply.Error) != reply.Error || len(reply.Error) > 5000 {
				t.Errorf("%q: %q is not for a line of a terminal", data, reply.Error)
			}
			var listed []int
			for _, p := range h.publisher.ports() {
				for i := range int(p.Count) {
					listed = append(listed, int(p.HostPort)+i)
				}
			}
			slices.Sort(listed)
			after := d.published()
			if reply.OK && !slices.Equal(listed, after) && len(d.failed) == 0 {
				t.Fatalf("%q: the list has %v, the driver %v", data, listed, after)
			}
			for _, open := range after {
				if !reply.OK && !slices.Contains(before, open) && len(d.failed) == 0 {
					t.Fatalf("%q failed, and port %d is open: %s", data, open, answer)
				}
				if !slices.Contains(listed, open) {
					t.Fatalf("%q: port %d is open and not in the list", data, open)
				}
			}
			command, err := netns.ParseCommand(data)
			if stops := err == nil && command.Op == netns.OpStop; stops != (len(h.stop) == 1) {
				t.Fatalf("%q: stops: %v", data, stops)
			}
			if len(h.stop) == 1 {
				<-h.stop
			}
		}
	})
}
