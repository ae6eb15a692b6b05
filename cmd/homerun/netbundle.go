package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/netns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The annotations by which a bundle asks run for a network.
const (
	annotationNet   = "run.homerun.net"
	annotationPorts = "run.homerun.ports"
)

// bundleNetwork connects a bundle whose annotations ask for it.
func (o *options) bundleNetwork(request *container.Request) error {
	s := request.Bundle.Config
	net, asked := s.Annotations[annotationNet]
	ports := s.Annotations[annotationPorts]
	if !asked && ports == "" {
		return nil
	}
	if !asked {
		net = string(netns.Auto)
	}
	c, err := parseBundleNetwork(s, net, ports)
	if err != nil {
		return fmt.Errorf("annotations: %w", err)
	}
	c.Notes = o.debug
	request.Network = c
	return nil
}

// parseBundleNetwork reads the annotations. A network that config.json names
// by path is somebody else's, and one that it shares is the host's.
func parseBundleNetwork(s *specs.Spec, net, ports string) (*netns.Connection, error) {
	f := networkFlags{net: net}
	if ports != "" {
		f.ports = strings.Split(ports, ",")
	}
	c, err := f.parse()
	if err != nil {
		return nil, err
	}
	ns := findNamespace(s, specs.NetworkNamespace)
	switch {
	case c.Network.Mode == netns.Host || c.Network.Mode == netns.Join:
		return nil, fmt.Errorf("%s: a bundle says %s in linux.namespaces", annotationNet, net)
	case ns == nil:
		return nil, errors.New(annotationNet + ": linux.namespaces has no network namespace to connect")
	case ns.Path != "":
		return nil, fmt.Errorf("%s: linux.namespaces gives the network namespace %s, which homerun leaves as it is", annotationNet, ns.Path)
	case c.Network.NeedsHelper() && findNamespace(s, specs.UserNamespace) == nil:
		// Both drivers give up capabilities that they would need to enter it.
		return nil, errors.New(annotationNet + ": linux.namespaces has no user namespace, without which no driver can enter the container's network")
	}
	return c, nil
}
