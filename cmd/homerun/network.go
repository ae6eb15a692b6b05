package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// Only run --rootfs has a network of its own making; the OCI verbs leave that
// to their callers. The container's resolv.conf and hosts are files of its
// state directory, bound over the root's. They are there, empty, before the
// facts are measured, and are written when the helper has told the addresses,
// while init waits.

// networkFlags are those of run --rootfs.
type networkFlags struct {
	net                 string
	ports, dns, addHost []string
}

func (f *networkFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.net, "net", "", "with --rootfs: none, host, pasta, slirp4netns or ns:PATH")
	flags.StringArrayVarP(&f.ports, "publish", "p", nil, "with --rootfs: publish [IP:]HOST[-HOST]:CONTAINER[-CONTAINER][/tcp|udp]")
	flags.StringArrayVar(&f.dns, "dns", nil, "with --rootfs: address of a name server")
	flags.StringArrayVar(&f.addHost, "add-host", nil, "with --rootfs: NAME:ADDRESS for /etc/hosts")
}

// connection is the network of one container.
type connection struct {
	network  netns.Network
	explicit bool
	ports    []netns.Forward
	dns      []netip.Addr
	hosts    []netns.HostEntry
	hostname string
	resolv   string // where the files are bound
	dir      string
	files    *specs.Spec
}

// parse reads the flags. Without --net a network that cannot be had is no
// error.
func (f *networkFlags) parse(hostname string) (*connection, error) {
	c := &connection{network: netns.Network{Mode: netns.Auto}, explicit: f.net != "" || len(f.ports) > 0, hostname: hostname}
	var err error
	if f.net != "" {
		if c.network, err = netns.ParseNetwork(f.net); err != nil {
			return nil, err
		}
	}
	for _, s := range f.ports {
		p, err := netns.ParseForward(s)
		if err != nil {
			return nil, err
		}
		c.ports = append(c.ports, p)
	}
	for _, s := range f.dns {
		a, err := netns.ParseDNS(s)
		if err != nil {
			return nil, err
		}
		c.dns = append(c.dns, a)
	}
	for _, s := range f.addHost {
		h, err := netns.ParseAddHost(s)
		if err != nil {
			return nil, err
		}
		c.hosts = append(c.hosts, h)
	}
	return c, c.check()
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
func (c *connection) apply(r *spec.Rootfs, s *specs.Spec, request *container.Request) {
	switch c.network.Mode {
	case netns.Host:
		return
	case netns.Join:
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
				s.Linux.Namespaces[i].Path = c.network.Path
			}
		}
		return
	case netns.None:
		return
	}
	c.files, c.resolv = s, resolvTarget(r.Path)
	request.Prepare, request.Network = c.prepare, c.connect
}

// resolvTarget is where the container looks for its resolv.conf: on the host's
// own file system a symbolic link may lead to /run, which is new and empty.
func resolvTarget(root string) string {
	const name = "/etc/resolv.conf"
	if root != "/" {
		return name
	}
	if target, err := filepath.EvalSymlinks(name); err == nil {
		return target
	}
	if link, err := os.Readlink(name); err == nil {
		return filepath.Join("/etc", strings.TrimPrefix(link, "/etc/"))
	}
	return name
}

// prepare makes the files, empty, and the mounts of them.
func (c *connection) prepare(made *container.Container) error {
	c.dir = made.Directory()
	for name, target := range map[string]string{"resolv.conf": c.resolv, "hosts": "/etc/hosts"} {
		file := filepath.Join(c.dir, name)
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			return fmt.Errorf("make %s: %w", file, unwrapPath(err))
		}
		c.files.Mounts = append(c.files.Mounts, specs.Mount{Destination: target, Type: "bind", Source: file, Options: []string{"bind"}})
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
	if result.Note != "" && c.explicit {
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
	if err := made.WillUndo(container.Undo{Kind: "network", Name: c.dir}); err != nil {
		return netns.Result{}, err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return netns.Result{}, fmt.Errorf("open init: %w", err)
	}
	defer unix.Close(pidfd)
	helper, err := client.Start(path, netns.NewRequest(c.network, pid, c.dir, c.ports), pidfd)
	if err != nil {
		return netns.Result{}, err
	}
	return helper.Wait(connectLimit)
}

// fill writes resolv.conf and hosts.
func (c *connection) fill(r netns.Result) error {
	host, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		host = nil
	}
	resolv := netns.ResolvConf(netns.ResolvInput{Host: string(host), Forward: r.DNS, DNS: c.dns, IPv6: r.Address6.IsValid()})
	in := netns.HostsInput{Hostname: c.hostname, Host: r.Host, Extra: c.hosts}
	for _, a := range []netip.Addr{r.Address, r.Address6} {
		if a.IsValid() {
			in.Addresses = append(in.Addresses, a)
		}
	}
	hosts, err := netns.Hosts(in)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"resolv.conf": resolv, "hosts": hosts} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, unwrapPath(err))
		}
	}
	return nil
}

func newPortCommand(o *options) *cobra.Command {
	var add, remove []string
	c := &cobra.Command{
		Use:   "port [--add PORT] [--remove PORT] ID",
		Short: "List, add and remove a container's published ports",
		Args:  o.oneID("port"),
		RunE: o.withRuntime(func(_ context.Context, r *container.Runtime, args []string) error {
			made, err := r.Peek(args[0])
			if err != nil {
				return err
			}
			return ports(made.Directory(), add, remove)
		}),
	}
	c.Flags().StringArrayVar(&add, "add", nil, "publish [IP:]HOST[-HOST]:CONTAINER[-CONTAINER][/tcp|udp]")
	c.Flags().StringArrayVar(&remove, "remove", nil, "take one back")
	return c
}

// ports changes and lists the forwards.
func ports(dir string, add, remove []string) error {
	steps := []struct {
		texts []string
		do    func(string, []netns.Forward) ([]netns.Published, error)
	}{{remove, client.Remove}, {add, client.Add}}
	for _, step := range steps {
		var list []netns.Forward
		for _, s := range step.texts {
			p, err := netns.ParseForward(s)
			if err != nil {
				return err
			}
			list = append(list, p)
		}
		if len(list) > 0 {
			if _, err := step.do(dir, list); err != nil {
				return err
			}
		}
	}
	if len(add)+len(remove) > 0 {
		return nil
	}
	published, err := client.List(dir)
	if err != nil {
		return err
	}
	for _, p := range published {
		fmt.Println(p.Forward.String())
	}
	return nil
}
