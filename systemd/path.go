// Package systemd says what a container is to a systemd manager: the names of its
// scope and slice, and the properties that config.json asks for. It is pure:
// package systemd/bus asks the manager, systemd/notify relays a program's
// notifications. The properties are documented in systemd.scope(5) and
// systemd.resource-control(5).
package systemd

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

// maxUnitName is systemd's UNIT_NAME_MAX without its final NUL.
const maxUnitName = 255

// ParsePath reads linux.cgroupsPath for the systemd manager:
//
//	slice:prefix:name   prefix-name.scope in slice (name.scope if prefix is empty)
//	slice:name          name.scope in slice
//	name                name.scope in the default slice
//	(empty)             homerun-ID.scope in the default slice
//
// The default slice is user.slice in a user manager (rootless) and system.slice
// otherwise. A slice may come as the path of its cgroup, a.slice/a-b.slice; a
// path that leads elsewhere is an error. A name of cgroupsPath's, not an id, that
// ends in .slice is a slice unit, which has no processes of its own. Bytes
// that no unit name may have are escaped as systemd-escape does. Whatever else
// is wrong is an error that names cgroupsPath.
func ParsePath(cgroupsPath, id string, rootless bool) (slice, scope string, err error) {
	slice, prefix, name, err := split(cgroupsPath)
	if err != nil {
		return "", "", pathError(cgroupsPath, err)
	}
	if slice == "" {
		slice = defaultSlice(rootless)
	}
	if slice, err = lastSlice(slice); err != nil {
		return "", "", pathError(cgroupsPath, err)
	}
	if cgroupsPath == "" {
		scope, err = scopeName("homerun", id)
	} else {
		scope, err = unitName(prefix, name)
	}
	if err != nil {
		return "", "", pathError(cgroupsPath, err)
	}
	return slice, scope, nil
}

func pathError(cgroupsPath string, err error) error {
	return fmt.Errorf("config.json: linux.cgroupsPath: %q: %w", cgroupsPath, err)
}

func defaultSlice(rootless bool) string {
	if rootless {
		return "user.slice"
	}
	return "system.slice"
}

func split(cgroupsPath string) (slice, prefix, name string, err error) {
	parts := strings.Split(cgroupsPath, ":")
	switch len(parts) {
	case 1:
		return "", "", parts[0], nil
	case 2:
		return parts[0], "", parts[1], nil
	case 3:
		return parts[0], parts[1], parts[2], nil
	}
	return "", "", "", errors.New("the systemd manager takes slice:prefix:name")
}

// lastSlice is the slice that a path names: every part must be the parent of the
// next one, or systemd would make it elsewhere.
func lastSlice(p string) (string, error) {
	slice := path.Base(p)
	expanded, err := ExpandSlice(slice)
	if err == nil && slice != p && strings.TrimPrefix(p, "/") != expanded {
		err = fmt.Errorf("%q is not where systemd has %s, which is %q", p, slice, expanded)
	}
	return slice, err
}

func unitName(prefix, name string) (string, error) {
	if !strings.HasSuffix(name, ".slice") {
		return scopeName(prefix, name)
	}
	_, err := ExpandSlice(name)
	return name, err
}

func scopeName(prefix, name string) (string, error) {
	if name == "" {
		return "", errors.New("has no name for the scope")
	}
	if strings.Contains(prefix+name, "/") {
		return "", errors.New("is a path; the systemd manager takes slice:prefix:name")
	}
	if prefix != "" {
		name = prefix + "-" + name
	}
	name = escape(name) + ".scope"
	if len(name) > maxUnitName {
		return "", fmt.Errorf("makes a unit name of %d bytes; systemd takes %d", len(name), maxUnitName)
	}
	return name, nil
}

// escape leaves valid names alone: callers look for the very name they gave
// (podman for libpod-ID.scope), and systemd-escape would touch each "-".
func escape(name string) string {
	if validUnit(name) {
		return name
	}
	return unit.UnitNameEscape(name)
}

const unitCharacters = ":_.-\\abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func validUnit(name string) bool {
	return onlyOf(name, unitCharacters) && !strings.HasPrefix(name, ".")
}

func onlyOf(s, characters string) bool {
	for _, c := range []byte(s) {
		if strings.IndexByte(characters, c) < 0 {
			return false
		}
	}
	return true
}

// ExpandSlice gives a slice's place in the tree, as "a.slice/a-b.slice" for
// a-b.slice. The root slice -.slice is "".
func ExpandSlice(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || name == "" || len(slice) > maxUnitName || !validUnit(name) {
		return "", fmt.Errorf("%q is not the name of a slice", slice)
	}
	if name == "-" {
		return "", nil
	}
	parts := strings.Split(name, "-")
	var expanded []string
	for i, part := range parts {
		if part == "" {
			return "", fmt.Errorf("%q is not the name of a slice", slice)
		}
		expanded = append(expanded, strings.Join(parts[:i+1], "-")+".slice")
	}
	return strings.Join(expanded, "/"), nil
}
