package main

import (
	"github.com/homerun-oci/homerun/netns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
)

// Theory of operation
//
// run connects a container to a network when its command line asks (--rootfs)
// or its bundle does, by annotation. create never does: its callers are
// engines, who make networks themselves and copy annotations from images, and an
// image must not open what its user has closed.

// networkFlags are those of run --rootfs.
type networkFlags struct {
	net                 string
	ports, dns, addHost []string
}

func (f *networkFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.net, "net", "", withRootfs+"none, host, pasta, slirp4netns or ns:PATH (default pasta or slirp4netns, whichever is there)")
	flags.StringVar(&f.net, "network", "", withRootfs+"the same as --net")
	flags.VarP((*repeated)(&f.ports), "publish", "p", withRootfs+"publish [IP:]HOST[-HOST]:CONTAINER[-CONTAINER][/tcp|udp]")
	flags.Var((*repeated)(&f.dns), "dns", withRootfs+"address of a name server")
	flags.Var((*repeated)(&f.addHost), "add-host", withRootfs+"NAME:ADDRESS for /etc/hosts")
}

// parse reads the flags. Without --net a network that cannot be had is no
// error.
func (f *networkFlags) parse() (*netns.Connection, error) {
	c := &netns.Connection{Network: netns.Network{Mode: netns.Auto}, Explicit: f.net != "" || len(f.ports) > 0}
	var err error
	if f.net != "" {
		if c.Network, err = netns.ParseNetwork(f.net); err != nil {
			return nil, err
		}
	}
	if c.Ports, err = parseAll(f.ports, netns.ParseForward); err != nil {
		return nil, err
	}
	if c.DNS, err = parseAll(f.dns, netns.ParseDNS); err != nil {
		return nil, err
	}
	if c.Hosts, err = parseAll(f.addHost, netns.ParseAddHost); err != nil {
		return nil, err
	}
	return c, c.Check()
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
