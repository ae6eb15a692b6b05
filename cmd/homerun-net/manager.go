package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"github.com/rootless-containers/rootlesskit/v3/pkg/port"
	pesto "github.com/rootless-containers/rootlesskit/v3/pkg/port/pasta"
	"github.com/rootless-containers/rootlesskit/v3/pkg/port/slirp4netns"
)

// portLimit bounds one call of a port driver.
const portLimit = 5 * time.Second

// manager is a running port driver of rootlesskit.
type manager struct {
	driver port.ParentDriver
	quit   chan struct{}
	// after ends what belongs to the driver, when it has quit.
	after func()
}

// manager answers the port driver of that name and starts it if need be.
func (p *publisher) manager(by string) (*manager, error) {
	if m := p.managers[by]; m != nil {
		return m, nil
	}
	m, err := p.newManager(by)
	if err != nil {
		return nil, err
	}
	p.managers[by] = m
	return m, nil
}

func (p *publisher) newManager(by string) (*manager, error) {
	s := p.helper.settings
	switch by {
	case bySlirp:
		d, err := slirp4netns.NewParentDriver(boundedLog(), slirpSocket)
		return runManager(d, err, s)
	case byPesto:
		path, err := find("pesto")
		if err != nil {
			return nil, err
		}
		d, err := pesto.NewParentDriver(boundedLog(), path, pastaSocket, s.v6)
		return runManager(d, err, s)
	}
	return p.helper.startBuiltin()
}

// runManager starts a driver that has nothing to wait for.
func runManager(d port.ParentDriver, err error, s settings) (*manager, error) {
	if err != nil {
		return nil, fmt.Errorf("network: port driver: %w", err)
	}
	m := &manager{driver: d, quit: make(chan struct{}), after: func() {}}
	ready := make(chan struct{}, 1)
	go func() {
		if err := d.RunParentDriver(ready, m.quit, s.childContext()); err != nil {
			log.Print(err)
		}
	}()
	select {
	case <-ready:
		return m, nil
	case <-time.After(portLimit):
		close(m.quit)
		return nil, &fault.Error{What: "network: port driver", Why: fmt.Sprintf("not ready after %v", portLimit)}
	}
}

func (s settings) childContext() *port.ChildContext {
	if !s.v4 {
		return nil
	}
	return &port.ChildContext{IP: net.IP(s.four.Container.AsSlice()), GatewayIP: net.IP(s.four.Gateway.AsSlice())}
}

// add has the driver publish one port, within the time limit also where the
// driver knows none.
func (m *manager) add(spec port.Spec) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), portLimit)
	defer cancel()
	type outcome struct {
		status *port.Status
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		st, err := m.driver.AddPort(ctx, spec)
		done <- outcome{st, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return 0, o.err
		}
		return o.status.ID, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("no answer within %v", portLimit)
	}
}

func (m *manager) remove(id int) error {
	ctx, cancel := context.WithTimeout(context.Background(), portLimit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- m.driver.RemovePort(ctx, id) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer within %v", portLimit)
	}
}

func (m *manager) close() {
	close(m.quit)
	m.after()
}

// boundedLog is the log for what clients on the network can provoke a line of:
// after 64 KiB it stays silent, so nobody fills the state directory.
func boundedLog() io.Writer {
	return &bounded{left: 64 << 10}
}

type bounded struct{ left int64 }

func (b *bounded) Write(data []byte) (int, error) {
	if atomic.AddInt64(&b.left, -int64(len(data))) >= 0 {
		os.Stderr.Write(data)
	}
	return len(data), nil
}
