package container

import (
	"encoding/json"
	"fmt"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// filtered is a config whose profile is JSON already: the outer members are those that
// count.
type filtered struct {
	*specs.Spec
	Linux filteredLinux `json:"linux"`
}

type filteredLinux struct {
	*specs.Linux
	Seccomp json.RawMessage `json:"seccomp"`
}

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

// ConfigText is the config.json of a bundle that was made by a program.
func ConfigText(b *bundle.Bundle) ([]byte, error) {
	s := b.Config
	if b.Seccomp == nil || s.Linux == nil {
		return json.Marshal(s)
	}
	return json.Marshal(filtered{s, filteredLinux{s.Linux, b.Seccomp}})
}
