package container

import (
	"context"
	"errors"

	"github.com/homerun-oci/homerun/store"
)

// clearLeft deletes what a Run that ends with its caller has left, because its caller
// was killed: the program has ended with that, and nobody else will delete the
// container. It reports whether there is none any more. One whose end somebody has
// recorded is to be looked at.
func (r *Runtime) clearLeft(ctx context.Context, id string) bool {
	c, err := r.Open(ctx, id)
	if err != nil {
		return errors.Is(err, store.ErrNotExist) // by now
	}
	defer c.Close()
	status, err := c.Status()
	if err != nil || status != Stopped || !c.State.Foreground || c.dir.Has(store.ExitFile) {
		return false
	}
	return c.remove(ctx) == nil
}
