// Package intelrdt turns linux.intelRdt into the files of the kernel's resctrl
// file system: cache and memory bandwidth for a class of service, and groups
// that count what a container uses. See Documentation/filesystems/resctrl.rst.
//
// Plan says what to write; package intelrdt/live does it.
package intelrdt

import (
	"errors"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Root is where resctrl is mounted.
const Root = "/sys/fs/resctrl"

// Plan is what a container needs in resctrl.
type Plan struct {
	// Class is the directory of the class of service, below the file system's
	// root; empty for the root class.
	Class string
	// Schemata are the lines to write, in order. In a class that exists and
	// that the config names, they must be there already.
	Schemata []string
	// Monitor is the name of a monitoring group of the container's own, or
	// empty.
	Monitor string
	// Own says that the class is named after the container, so it is made and
	// removed with it.
	Own bool
}

// The ways in which a section can be wrong.
var (
	ErrName = errors.New("it is not the name of a directory")
	ErrLine = errors.New("a line break would end the schema")
)

// New reads the section for the container id. A nil section is a nil plan.
func New(rdt *specs.LinuxIntelRdt, id string) (*Plan, error) {
	if rdt == nil {
		return nil, nil
	}
	p := &Plan{Class: rdt.ClosID}
	switch {
	case rdt.ClosID == "/":
		p.Class = ""
	case rdt.ClosID == "":
		p.Class, p.Own = id, true
	}
	if !isName(p.Class) {
		return nil, ErrName
	}
	for _, s := range append([]string{rdt.L3CacheSchema, bandwidth(rdt.MemBwSchema)}, rdt.Schemata...) {
		if strings.Contains(s, "\n") {
			return nil, ErrLine
		}
		if s != "" {
			p.Schemata = append(p.Schemata, s)
		}
	}
	if rdt.EnableMonitoring {
		p.Monitor = id
	}
	return p, nil
}

// bandwidth is the schema of memory bandwidth; the prefix may be missing.
func bandwidth(s string) string {
	if s == "" || strings.HasPrefix(s, "MB:") {
		return s
	}
	return "MB:" + s
}

// isName keeps a class below the root of the file system, and from the names
// that the kernel uses there.
func isName(s string) bool {
	switch s {
	case ".", "..", "info", "mon_groups", "mon_data":
		return false
	}
	return !strings.ContainsAny(s, "/\n\x00")
}

// Directory is the class's path below the mount point.
func (p *Plan) Directory(root string) string {
	if p.Class == "" {
		return root
	}
	return root + "/" + p.Class
}

// Group is the path of the monitoring group below the mount point; it means
// nothing without Monitor.
func (p *Plan) Group(root string) string { return p.Directory(root) + "/mon_groups/" + p.Monitor }
