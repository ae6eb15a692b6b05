package container

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/rootfs"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A container's resolv.conf and hosts are files of its state directory, bound over
// the root's. They are there, empty, before the plan looks at them, and are written
// when the helper has said the addresses, while init waits. Only Run connects a
// network: the callers of Create are engines, who make networks themselves.

// connectLimit is how long the helper may take.
const connectLimit = 30 * time.Second

// withNetwork is the bundle whose network namespace is the one that is joined, if the
// network says so.
func withNetwork(b *bundle.Bundle, c *netns.Connection) (*bundle.Bundle, error) {
	if c == nil || c.Network.Mode != netns.Join {
		return b, nil
	}
	joined, config := *b, *b.Config
	if config.Linux != nil {
		linux := *config.Linux
		linux.Namespaces = slices.Clone(linux.Namespaces)
		i := slices.IndexFunc(linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
		if i >= 0 {
			linux.Namespaces[i].Path, config.Linux = c.Network.Path, &linux
			joined.Config, joined.Raw = &config, nil
			return &joined, nil
		}
	}
	return nil, errors.New("linux.namespaces has no network namespace, so none can be joined")
}

// startNetwork starts the helper for the container's init.
func (s *starting) startNetwork(ctx context.Context, a action.StartNetwork) (err error) {
	s.network, err = s.startHelper(a.Connection)
	return s.unconnected(ctx, a.Connection, err)
}

func (s *starting) startHelper(n *netns.Connection) (*client.Helper, error) {
	program, places := s.c.runtime.options.Helpers.net()
	if program == "" {
		return nil, client.NotInstalled(places)
	}
	pid := s.launch.Init()
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open init: %w", err)
	}
	defer unix.Close(pidfd)
	// pasta stays as long as the container, and inherits what this thread has.
	defer proc.GiveSlack(s.c.runtime.options.TimerSlack)()
	return client.Start(program, netns.NewRequest(n.Network, pid, s.c.dir.Path(), n.Ports), pidfd)
}

// awaitNetwork waits for the helper's answer, if one was started. It is ended with the
// context.
func (s *starting) awaitNetwork(ctx context.Context, n *netns.Connection) (err error) {
	if s.network == nil {
		return nil
	}
	if s.connected, err = s.network.Wait(ctx, connectLimit); err != nil {
		s.network = nil
		return s.unconnected(ctx, n, err)
	}
	if s.connected.Note != "" && n.Notes {
		s.c.runtime.note("%s", s.connected.Note)
	}
	return nil
}

// unconnected is the error for a container that is not connected: none for one that
// did not ask to be, but a note.
func (s *starting) unconnected(ctx context.Context, n *netns.Connection, err error) error {
	if err == nil || n.Explicit || ctx.Err() != nil {
		return err
	}
	s.c.runtime.note("no network: %s", strings.TrimPrefix(err.Error(), "network: "))
	return nil
}

// networkFiles are where in the root the container looks for the files that its
// network gives it; empty where it has no such file and none can be made.
func networkFiles(root string, names []string) map[string]string {
	files := map[string]string{}
	for _, name := range names {
		files[name] = mountPoint(root, name)
	}
	return files
}

// mountPoint is where the container looks for a file. On the host's own file
// system a symbolic link may lead to /run, which is new and empty there; and
// what is missing elsewhere is not made, since it would be made on the host.
func mountPoint(root, name string) string {
	if root != "/" {
		if exists(filepath.Join(root, name)) || writable(filepath.Join(root, filepath.Dir(name))) {
			return name
		}
		return ""
	}
	target, err := filepath.EvalSymlinks(name)
	if err == nil {
		return target
	}
	if link, err := os.Readlink(name); err == nil {
		target = link
		if !filepath.IsAbs(link) {
			target = filepath.Join(filepath.Dir(name), link)
		}
	}
	if strings.HasPrefix(target, "/run/") || strings.HasPrefix(target, "/tmp/") {
		return target
	}
	return ""
}

func exists(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil
}

// writable reports whether a mount point can be made in a directory, or in the
// nearest that exists above it. Ids that are the container's alone may write
// where the caller may not, so only a refusal that holds for them too counts.
func writable(dir string) bool {
	var st unix.Stat_t
	for unix.Stat(dir, &st) != nil && dir != "/" {
		dir = filepath.Dir(dir)
	}
	err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS)
	return err == nil || err == unix.EACCES && st.Uid != 0
}

// fillNetworkFiles writes resolv.conf and hosts, those that there are.
func (c *Container) fillNetworkFiles(a action.WriteNetworkFiles, r netns.Result) error {
	hosts, err := netns.Hosts(hostsInput(a, r))
	if err != nil {
		return err
	}
	n := a.Connection
	resolv := netns.ResolvConf(netns.ResolvInput{Host: hostFile("/etc/resolv.conf"), HostNetwork: n.Shared(), Forward: r.DNS, DNS: n.DNS,
		IPv6: r.Address6.IsValid()})
	for _, f := range [...]struct{ name, text string }{{store.ResolvFile, resolv}, {store.HostsFile, hosts}} {
		if len(f.text) > rootfs.EditableSize/2 {
			return fmt.Errorf("make /etc/%s: it would have %d bytes, and the container has room for %d", f.name, len(f.text), rootfs.EditableSize/2)
		}
		if err := c.dir.WriteInPlace(f.name, []byte(f.text)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func hostsInput(a action.WriteNetworkFiles, r netns.Result) netns.HostsInput {
	in := netns.HostsInput{Hostname: a.Hostname, Host: r.Host, Extra: a.Connection.Hosts}
	if a.Connection.Shared() {
		in.HostFile = hostFile("/etc/hosts")
	}
	for _, address := range []netip.Addr{r.Address, r.Address6} {
		if address.IsValid() {
			in.Addresses = append(in.Addresses, address)
		}
	}
	return in
}

// hostFile is a file's text; one that cannot be read says nothing.
func hostFile(name string) string {
	text, err := bundle.ReadRegular(name)
	if err != nil {
		return ""
	}
	return string(text)
}
