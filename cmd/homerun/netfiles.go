package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/netns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// networkFiles are the files that a container gets for its network.
func networkFiles() []string { return []string{"/etc/hosts", "/etc/resolv.conf"} }

// prepare makes the files and their mounts. What the helper's answer does not
// change is written at once.
func (c *connection) prepare(made *container.Container) error {
	c.made = made
	for _, name := range networkFiles() {
		if c.mounted(name) {
			continue
		}
		target, ok := mountPoint(c.root, name)
		if !ok {
			if c.notes {
				note("the root has no %s and cannot be written, so the container has none", name)
			}
			continue
		}
		if err := made.WriteFile(filepath.Base(name), nil, true); err != nil {
			return err
		}
		file := filepath.Join(made.Directory(), filepath.Base(name))
		c.config.Mounts = append(c.config.Mounts, specs.Mount{Destination: target, Type: "bind", Source: file, Options: []string{"bind"}})
	}
	if c.network.NeedsHelper() {
		return nil
	}
	return c.fill(netns.Result{})
}

// mounted tells whether the config itself puts something there.
func (c *connection) mounted(name string) bool {
	return slices.ContainsFunc(c.config.Mounts, func(m specs.Mount) bool {
		d := filepath.Clean(m.Destination)
		return d == name || d == filepath.Dir(name)
	})
}

// mountPoint is where the container looks for a file. On the host's own file
// system a symbolic link may lead to /run, which is new and empty there; and
// what is missing elsewhere is not made, since it would be made on the host.
func mountPoint(root, name string) (string, bool) {
	if root != "/" {
		return name, exists(filepath.Join(root, name)) || writable(filepath.Join(root, filepath.Dir(name)))
	}
	target, err := filepath.EvalSymlinks(name)
	if err == nil {
		return target, true
	}
	if link, err := os.Readlink(name); err == nil {
		target = link
		if !filepath.IsAbs(link) {
			target = filepath.Join(filepath.Dir(name), link)
		}
	}
	return target, strings.HasPrefix(target, "/run/") || strings.HasPrefix(target, "/tmp/")
}

func exists(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil
}

// writable tells whether a mount point can be made in a directory, or in the
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

// fill writes resolv.conf and hosts, those that there are.
func (c *connection) fill(r netns.Result) error {
	hosts, err := netns.Hosts(c.hostsInput(r))
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"resolv.conf": netns.ResolvConf(c.resolvInput(r)), "hosts": hosts} {
		if err := c.made.WriteFile(name, []byte(text), false); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// shared tells whether the container is in a network namespace that others
// have set up, where the host's files are right.
func (c *connection) shared() bool {
	return c.network.Mode == netns.Host || c.network.Mode == netns.Join
}

func (c *connection) resolvInput(r netns.Result) netns.ResolvInput {
	return netns.ResolvInput{Host: hostFile("/etc/resolv.conf"), HostNetwork: c.shared(), Forward: r.DNS, DNS: c.dns, IPv6: r.Address6.IsValid()}
}

func (c *connection) hostsInput(r netns.Result) netns.HostsInput {
	in := netns.HostsInput{Hostname: c.hostname, Host: r.Host, Extra: c.hosts}
	if c.shared() {
		in.HostFile = hostFile("/etc/hosts")
	}
	for _, a := range []netip.Addr{r.Address, r.Address6} {
		if a.IsValid() {
			in.Addresses = append(in.Addresses, a)
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
