package bites

import (
	"maps"
	"os"
	"slices"
)

// place is where a test has what it needs.
type place int

const (
	unknown place = iota
	nowhere
	onHost
	machineRoot
	machineUser
)

// places has for each word of needs: the first place that has it. The machine
// has all that the host has, but Go.
func places() map[string]place {
	return map[string]place{
		"nothing": onHost, "root": onHost,
		"cgroup2": machineRoot, "systemd": machineRoot,
		"session":  machineUser,
		"apparmor": having("/sys/kernel/security/apparmor"),
		"selinux":  having("/sys/fs/selinux/enforce"),
	}
}

func words() []string { return slices.Sorted(maps.Keys(places())) }

func having(path string) place {
	if _, err := os.Stat(path); err != nil {
		return nowhere
	}
	return onHost
}

func (m *mutant) place() place {
	known, where := places(), onHost
	for _, word := range m.needs {
		switch p := known[word]; p {
		case unknown, nowhere:
			return p
		default:
			where = max(where, p)
		}
	}
	return where
}
