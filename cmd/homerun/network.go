package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// run connects a container to a network when its command line asks (--rootfs)
// or its bundle does, by annotation. create never does: its callers are
// engines, who make networks themselves and copy annotations from images, and an
// image must not open what its user has closed. The container's resolv.conf and
// hosts are files of its state directory, bound over the root's. They are
// there, empty, before the facts are measured, and are written when the helper
// has told the addresses, while init waits.

// networkFlags are those of run --rootfs.
type networkFlags struct {
	net                 string
	ports, dns, addHost []string
}

func (f *networkFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.net, "net", "", withRootfs+"none, host, pasta, slirp4netns or ns:PATH")
	flags.StringArrayVarP(&f.ports, "publish", "p", nil, withRootfs+"publish [IP:]HOST[-HOST]:CONTAINER[-CONTAINER][/tcp|udp]")
	flags.StringArrayVar(&f.dns, "dns", nil, withRootfs+"address of a name server")
	flags.StringArrayVar(&f.addHost, "add-host", nil, withRootfs+"NAME:ADDRESS for /etc/hosts")
}

// connection is the network of one container.
type connection struct {
	network netns.Network
	// explicit: a network that cannot be had is an error. notes: say what the
	// helper has chosen.
	explicit, notes bool
	ports           []netns.Forward
	dns             []netip.Addr
	hosts           []netns.HostEntry
	hostname        string
	root            string // the container's, on the host
	made            *container.Container
	config          *specs.Spec
}

// parse reads the flags. Without --net a network that cannot be had is no
// error.
func (f *networkFlags) parse() (*connection, error) {
	c := &connection{network: netns.Network{Mode: netns.Auto}, explicit: f.net != "" || len(f.ports) > 0}
	var err error
	if f.net != "" {
		if c.network, err = netns.ParseNetwork(f.net); err != nil {
			return nil, err
		}
	}
	if c.ports, err = parseAll(f.ports, netns.ParseForward); err != nil {
		return nil, err
	}
	if c.dns, err = parseAll(f.dns, netns.ParseDNS); err != nil {
		return nil, err
	}
	if c.hosts, err = parseAll(f.addHost, netns.ParseAddHost); err != nil {
		return nil, err
	}
	return c, c.check()
}

func parseAll[T any](texts []string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for _, s := range texts {
		v, err := parse(s)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (c *connection) check() error {
	if len(c.ports) > 0 && !c.network.NeedsHelper() {
		return fmt.Errorf("ports cannot be published with --net %s", c.network.Mode)
	}
	if err := netns.CheckForwards(c.ports); err != nil {
		return err
	}
	return netns.CheckDNS(c.network, c.dns)
}

// apply changes the container's description for its network.
func (c *connection) apply(root string, request *container.Request) {
	c.config, c.root = request.Bundle.Config, root
	c.hostname = c.config.Hostname
	if c.network.Mode == netns.Join {
		findNamespace(c.config, specs.NetworkNamespace).Path = c.network.Path
	}
	request.Prepare = c.prepare
	if c.network.NeedsHelper() {
		request.Network = c.connect
	}
}

// findNamespace is the config's entry of that type, or nil.
func findNamespace(s *specs.Spec, kind specs.LinuxNamespaceType) *specs.LinuxNamespace {
	if s.Linux == nil {
		return nil
	}
	for i := range s.Linux.Namespaces {
		if s.Linux.Namespaces[i].Type == kind {
			return &s.Linux.Namespaces[i]
		}
	}
	return nil
}

// connectLimit is how long the helper may take.
const connectLimit = 30 * time.Second

// connect starts the helper for the container's init, and fills the files.
func (c *connection) connect(_ context.Context, made *container.Container, pid int) error {
	result, err := c.start(made, pid)
	if err != nil {
		if c.explicit {
			return err
		}
		note("no network: %s", strings.TrimPrefix(err.Error(), "network: "))
		result = netns.Result{}
	}
	if result.Note != "" && c.notes {
		note("%s", result.Note)
	}
	return c.fill(result)
}

func (c *connection) start(made *container.Container, pid int) (netns.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return netns.Result{}, fmt.Errorf("find this program: %w", err)
	}
	path, err := client.Find(self)
	if err != nil {
		return netns.Result{}, err
	}
	if err := made.WillUndo(container.Undo{Kind: "network", Name: made.Directory()}); err != nil {
		return netns.Result{}, err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return netns.Result{}, fmt.Errorf("open init: %w", err)
	}
	defer unix.Close(pidfd)
	helper, err := client.Start(path, netns.NewRequest(c.network, pid, made.Directory(), c.ports), pidfd)
	if err != nil {
		return netns.Result{}, err
	}
	return helper.Wait(connectLimit)
}
