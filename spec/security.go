package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Security is what confines a container's program, beside its ids and
// no_new_privs.
type Security struct {
	// Arch is Go's name of the machine's architecture.
	Arch string
	// Profile is its seccomp profile. Where that is nil, Filtered says that it has the
	// usual one, which Filter makes; else it has none.
	Profile  *Profile
	Filtered bool
	// NewPrivileges lets set-user-ID programs and file capabilities have an effect.
	NewPrivileges bool
}

// Confine sets it in a config, for the capabilities that its program has.
func (o Security) Confine(s *specs.Spec) {
	s.Process.NoNewPrivileges = !o.NewPrivileges
	var capabilities []string
	if s.Process.Capabilities != nil {
		capabilities = s.Process.Capabilities.Bounding
	}
	switch {
	case o.Profile != nil:
		s.Linux.Seccomp = o.Profile.config(o.Arch, capabilities)
	case o.Filtered:
		s.Linux.Seccomp = Filter(o.Arch, capabilities)
	}
}

// Profile is a seccomp profile in the format of docker's and podman's --security-opt
// seccomp=FILE. That of config.json, linux.seccomp, is one too.
type Profile struct {
	specs.LinuxSeccomp
	ArchMap []struct {
		Architecture     specs.Arch   `json:"architecture"`
		SubArchitectures []specs.Arch `json:"subArchitectures"`
	} `json:"archMap"`
	Syscalls []rule `json:"syscalls"`
}

// rule holds where all that it includes is there, and nothing that it excludes.
type rule struct {
	specs.LinuxSyscall
	Name     string `json:"name"` // of older profiles
	Includes only   `json:"includes"`
	Excludes only   `json:"excludes"`
}

type only struct {
	Caps   []string `json:"caps"`
	Arches []string `json:"arches"`
}

// ParseProfile reads a profile.
func ParseProfile(text []byte) (*Profile, error) {
	p := &Profile{}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("it is no seccomp profile in JSON: %w", err)
	}
	if p.DefaultAction == "" {
		return nil, errors.New("it has no defaultAction, which every seccomp profile needs")
	}
	return p, nil
}

// config is the profile for a program with these capabilities.
func (p *Profile) config(arch string, capabilities []string) *specs.LinuxSeccomp {
	s := p.LinuxSeccomp
	for _, a := range p.ArchMap {
		if a.Architecture == native(arch) {
			s.Architectures = append([]specs.Arch{a.Architecture}, a.SubArchitectures...)
		}
	}
	for _, r := range p.Syscalls {
		if r.holds(arch, capabilities) {
			if r.Name != "" {
				r.Names = append(r.Names, r.Name)
			}
			s.Syscalls = append(s.Syscalls, r.LinuxSyscall)
		}
	}
	return &s
}

func native(arch string) specs.Arch {
	switch arch {
	case "arm64":
		return specs.ArchAARCH64
	case "riscv64":
		return specs.ArchRISCV64
	}
	return specs.ArchX86_64
}

func (r *rule) holds(arch string, capabilities []string) bool {
	has := func(c string) bool { return slices.Contains(capabilities, strings.ToUpper(c)) }
	missing := func(c string) bool { return !has(c) }
	here := func(a string) bool { return a == arch }
	return !slices.ContainsFunc(r.Includes.Caps, missing) && (len(r.Includes.Arches) == 0 || slices.ContainsFunc(r.Includes.Arches, here)) &&
		!slices.ContainsFunc(r.Excludes.Caps, has) && !slices.ContainsFunc(r.Excludes.Arches, here)
}
