package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"github.com/rootless-containers/rootlesskit/v3/pkg/port/builtin"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
)

// What runs inside the container's namespaces
//
// A Go program has several threads and therefore cannot join a user namespace.
// nsenter(1) can, and then executes this program again, which has this host's
// mount and PID namespaces still: the container sees neither the process nor
// its files. Its standard input is a pipe of ours, and it ends with that.

// insideVerb is the argument that makes this program the one inside.
const insideVerb = "inside"

// The programs inside.
const (
	innerPorts     = "ports"
	innerAcceptDAD = "accept-dad"
)

// insider is this program in the container's user and network namespace.
type insider struct {
	process *process
	// input keeps it alive.
	input *os.File
}

func noNsenter(err error) error {
	return &fault.Error{Why: err.Error(), Cause: err, Hint: "install util-linux", Code: netns.NotInstalled}
}

func (h *helper) startInsider(arguments []string, extra ...*os.File) (*insider, error) {
	nsenter, err := find("nsenter")
	if err != nil {
		return nil, noNsenter(err)
	}
	// By descriptor: the file may have been replaced by an upgrade, and from
	// inside a container's user namespace /proc/PID/exe is out of reach.
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	defer self.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("network: pipe: %w", err)
	}
	defer read.Close()
	command := exec.Command(nsenter, h.settings.nsenterArguments(arguments)...)
	command.Stdin = read
	command.ExtraFiles = append([]*os.File{self}, extra...)
	p, err := launch(command)
	if err != nil {
		write.Close()
		return nil, err
	}
	return &insider{process: p, input: write}, nil
}

func (s settings) nsenterArguments(arguments []string) []string {
	a := []string{"-t", strconv.Itoa(s.pid), "-n"}
	if !s.sameUser {
		a = append(a, "-U", "--preserve-credentials")
	}
	return append(append(a, "--", "/proc/self/fd/3", insideVerb), arguments...)
}

// end closes its input and waits, not for long.
func (i *insider) end() {
	i.input.Close()
	select {
	case <-i.process.gone:
	case <-time.After(200 * time.Millisecond):
	}
	i.process.kill()
}

// startBuiltin starts rootlesskit's port driver and its half inside.
func (h *helper) startBuiltin() (*manager, error) {
	driver, err := builtin.NewParentDriver(boundedLog(), ".", canKeepSource(), "auto")
	if err != nil {
		return nil, fmt.Errorf("network: port driver: %w", err)
	}
	opaque, err := json.Marshal(driver.OpaqueForChild())
	if err != nil {
		return nil, err
	}
	child, err := h.startInsider([]string{innerPorts, string(opaque)})
	if err != nil {
		return nil, err
	}
	m := &manager{driver: driver, quit: make(chan struct{}), after: func() {
		child.end()
		removeBuiltinFiles()
	}}
	if err := m.meet(child); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// canKeepSource reports whether what rootlesskit keeps source addresses with is
// there. Where only half of it is, each connection would wait a second for an
// answer that gets lost.
func canKeepSource() bool {
	_, noIP := find("ip")
	_, noNFT := find("nft")
	_, noIPTables := find("iptables")
	return noIP == nil && (noNFT == nil || noIPTables == nil)
}

// keepsSource reports whether the running driver found a firewall that it can
// use in the container's namespace.
func (m *manager) keepsSource() bool {
	info, err := m.driver.Info(context.Background())
	if err != nil {
		return false
	}
	backend := info.Extra["sourceIPTransparentBackend"]
	return backend != "" && backend != "none"
}

// meet runs the driver and waits until its halves have met.
func (m *manager) meet(child *insider) error {
	ready, failed := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		failed <- m.driver.RunParentDriver(ready, m.quit, nil)
	}()
	var err error
	select {
	case <-ready:
		return nil
	case err = <-failed:
		err = fmt.Errorf("network: port driver: %w", err)
	case <-child.process.gone:
		err = netns.ExplainOutput("nsenter", child.process.output(), appArmorRestricts())
	case <-time.After(portLimit):
		err = &fault.Error{What: "network: port driver", Why: fmt.Sprintf("not ready after %v", portLimit)}
	}
	// The driver may still wait for the half inside to open its FIFO.
	if f, e := os.OpenFile(builtinFIFO, os.O_WRONLY|unix.O_NONBLOCK, 0); e == nil {
		f.Close()
	}
	return err
}

// The files of rootlesskit's builtin driver in its state directory.
const (
	builtinFIFO   = ".bp-ready.pipe"
	builtinSocket = ".bp.sock"
)

func removeBuiltinFiles() {
	os.Remove(builtinFIFO)
	os.Remove(builtinSocket)
}

// skipAddressDetection sets accept_dad to 0 for devices that are made in the
// container's namespace until the function that it answers is called. Without
// nsenter IPv6 comes up a second or two later, nothing else.
func (h *helper) skipAddressDetection() (restore func()) {
	read, write, err := os.Pipe()
	if err != nil {
		return func() {}
	}
	defer read.Close()
	i, err := h.startInsider([]string{innerAcceptDAD}, write)
	write.Close()
	if err != nil {
		return func() {}
	}
	if err := i.process.await(h.life, read); err != nil && !errors.Is(err, errGone) {
		i.end()
		return func() {}
	}
	// It restores the setting at its own pace; the container need not wait.
	return func() {
		i.input.Close()
		go i.end()
	}
}
