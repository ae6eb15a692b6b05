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

// startNetwork starts the helper for the container's init, and fills the files.
// Without a helper it only fills the files.
func (s *starting) startNetwork(ctx context.Context, a action.StartNetwork) error {
	n := a.Connection
	if !n.Network.NeedsHelper() {
		return s.c.fillNetworkFiles(a, netns.Result{})
	}
	result, err := s.connectNetwork(ctx, n)
	switch {
	case err == nil:
	case n.Explicit || ctx.Err() != nil:
		return err
	default:
		s.c.runtime.note("no network: %s", strings.TrimPrefix(err.Error(), "network: "))
		result = netns.Result{}
	}
	if result.Note != "" && n.Notes {
		s.c.runtime.note("%s", result.Note)
	}
	return s.c.fillNetworkFiles(a, result)
}

// connectNetwork starts the helper, and waits for its answer. It is ended with the
// context.
func (s *starting) connectNetwork(ctx context.Context, n *netns.Connection) (netns.Result, error) {
	program, places := s.c.runtime.options.Helpers.net()
	if program == "" {
		return netns.Result{}, client.NotInstalled(places)
	}
	pid := s.launch.Init()
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return netns.Result{}, fmt.Errorf("open init: %w", err)
	}
	defer unix.Close(pidfd)
	helper, err := client.Start(program, netns.NewRequest(n.Network, pid, s.c.dir.Path(), n.Ports), pidfd)
	if err != nil {
		return netns.Result{}, err
	}
	result, err := helper.Wait(ctx, connectLimit)
	if err == nil {
		s.network = helper
	}
	return result, err
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
func (c *Container) fillNetworkFiles(a action.StartNetwork, r netns.Result) error {
	hosts, err := netns.Hosts(hostsInput(a, r))
	if err != nil {
		return err
	}
	n := a.Connection
	resolv := netns.ResolvConf(netns.ResolvInput{Host: hostFile("/etc/resolv.conf"), HostNetwork: n.Shared(), Forward: r.DNS, DNS: n.DNS,
		IPv6: r.Address6.IsValid()})
	for _, f := range [...]struct{ name, text string }{{"resolv.conf", resolv}, {"hosts", hosts}} {
		if err := c.dir.WriteInPlace(f.name, []byte(f.text)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func hostsInput(a action.StartNetwork, r netns.Result) netns.HostsInput {
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
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(text)
}
