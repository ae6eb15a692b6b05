package container

import (
	"context"

	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
)

// Ports lists the ports that are published for the container. It is a
// *netns.Error where no network helper runs for it.
func (c *Container) Ports(ctx context.Context) ([]netns.Published, error) {
	return client.List(ctx, c.Directory())
}

// Publish publishes more ports: all of them or none. It returns what is published
// then.
func (c *Container) Publish(ctx context.Context, ports []netns.Forward) ([]netns.Published, error) {
	return client.Add(ctx, c.Directory(), ports)
}

// Unpublish takes published ports back, and returns what is left.
func (c *Container) Unpublish(ctx context.Context, ports []netns.Forward) ([]netns.Published, error) {
	return client.Remove(ctx, c.Directory(), ports)
}
