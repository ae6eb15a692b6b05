package container

import (
	"fmt"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/store"
)

// keepMade keeps a config that was made by a program and never was a file, for
// exec, start and delete. It comes when the program runs already, because
// encoding costs more than most of a start.
func (c *Container) keepMade(b *bundle.Bundle) error {
	if b.Raw != nil {
		return nil
	}
	text, err := ConfigText(b)
	if err == nil {
		err = c.dir.ReplaceFile(store.ConfigFile, text)
	}
	if err != nil {
		return fmt.Errorf("keep config.json: %w", err)
	}
	return nil
}

// ConfigText is the config.json of a bundle that was made by a program. Its profile
// may be JSON already, which then counts.
func ConfigText(b *bundle.Bundle) ([]byte, error) {
	if b.Seccomp == nil {
		return encode(b.Config, nil)
	}
	return encode(b.Config, map[string][]byte{"seccomp": b.Seccomp})
}
