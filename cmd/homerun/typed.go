package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/limits"
	"github.com/homerun-oci/homerun/runflags"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Theory of operation
//
// Whoever typed --rootfs has no config.json: what an error says of one is said of the
// flag that put it there. What helps is found out when the error is there, by looking
// at the root, so that a run that goes well pays nothing for it.

// inFlags has an error of run --rootfs speak of flags, with advice where there is some.
func (o *options) inFlags(f *runFlags, err error, args []string) error {
	inFlags := func(e *fault.Error) *fault.Error { return f.rootfs.inFlags(e, f.docker.values, args) }
	var list bundle.Errors
	var one *fault.Error
	switch {
	case err == nil:
		return nil
	case container.IsTaken(err):
		return &fault.Error{Why: err.Error(), Cause: err, Hint: "homerun delete --force " + o.id + " removes it; run --replace does so first"}
	case f.rootfs.path == "":
		return o.withoutBundle(err, f, args)
	case errors.As(err, &list):
		return each(list, inFlags)
	case errors.As(err, &one) && err.Error() == one.Error() && (one.Place != "" || !strings.HasPrefix(err.Error(), cgroups)):
		return inFlags(one)
	case strings.HasPrefix(err.Error(), cgroups) && f.rootfs.config != nil:
		return ofLimits(err, f.rootfs.config.Linux.Resources, func(place string) string { return f.rootfs.flagOf(place, f.docker.values) })
	}
	return err
}

// each has another error for each of a list.
func each(list bundle.Errors, other func(*fault.Error) *fault.Error) bundle.Errors {
	changed := make(bundle.Errors, len(list))
	for i, e := range list {
		changed[i] = other(e)
	}
	return changed
}

// cgroups begins what is said of all limits together.
const cgroups = "cgroupv2: "

// ofLimits has an error about the limits of a container name the flags that asked for
// them: those that need the controller that it names, or all.
func ofLimits(err error, resources *specs.LinuxResources, flagOf func(place string) string) error {
	set, _, _ := limits.Of(resources)
	var named, all []string
	for _, l := range set {
		flag := flagOf(l.Place())
		if flag == "" || slices.Contains(all, flag) {
			continue
		}
		all = append(all, flag)
		if strings.Contains(err.Error(), "controller "+l.Name().Controller()+" ") {
			named = append(named, flag)
		}
	}
	if len(named) > 0 {
		all = named
	}
	if len(all) == 0 {
		return err
	}
	why := strings.TrimPrefix(strings.TrimPrefix(err.Error(), cgroups), "config.json asks for limits, and ")
	return &fault.Error{Place: strings.Join(all, ", "), Why: why, Cause: err}
}

// inFlags is a copy of an error that names the flag.
func (r *rootfsFlags) inFlags(e *fault.Error, v runflags.Values, args []string) *fault.Error {
	c := *e
	c.File, c.Line, c.Column = "", 0, 0
	if e.Place != "process.args" && !strings.HasPrefix(e.Place, "--") {
		c.Place = r.flagOf(e.Place, v)
	}
	c.Why, c.Hint = withMemoryFlag(c.Why), withMemoryFlag(c.Hint)
	r.advise(&c, e.Place, args)
	return &c
}

// withMemoryFlag has a text about a program that got too little memory name the flag.
func withMemoryFlag(text string) string {
	return strings.ReplaceAll(text, "linux.resources.memory.limit", "--memory")
}

// flagOf is the flag that asked for what stands at a place in config.json, with its value;
// empty where none was typed.
func (r *rootfsFlags) flagOf(place string, v runflags.Values) string {
	if i, ok := indexIn(place, "mounts["); ok && r.config != nil && i < len(r.config.Mounts) {
		return r.mountFlag(r.config.Mounts[i].Source, r.config.Mounts[i].Destination, v)
	}
	if _, ok := indexIn(place, "linux.namespaces["); ok && r.network.net != "" {
		return "--net " + r.network.net
	}
	own := []struct{ place, flag, value string }{
		{"root", "--rootfs", r.path}, {"process.cwd", "--workdir", r.cwd}, {"hostname", "--hostname", r.hostname},
		{"process.env", "--env", ""},
	}
	for _, o := range own {
		if within(place, o.place) && (o.value != "" || o.place == "process.env") {
			return strings.TrimSpace(o.flag + " " + o.value)
		}
	}
	for _, p := range places {
		if value := v.Last(p.flag); value != "" && within(place, p.place) {
			return "--" + p.flag + " " + value
		}
	}
	return ""
}

// places are what each flag of package runflags asks for. A flag has several, and a place
// several flags, of which the first that was typed is named.
var places = [...]struct{ place, flag string }{
	{"linux.resources.memory.limit", "memory"}, {"linux.resources.memory.swap", "memory-swap"}, {"linux.resources.memory.swap", "memory"},
	{"linux.resources.memory.reservation", "memory-reservation"}, {"linux.resources.cpu.quota", "cpus"}, {"linux.resources.cpu.shares", "cpu-shares"},
	{"linux.resources.cpu.cpus", "cpuset-cpus"}, {"linux.resources.cpu.mems", "cpuset-mems"}, {"linux.resources.pids", "pids-limit"},
	{"process.rlimits", "ulimit"}, {"process.user.additionalGids", "group-add"}, {"process.user", "user"}, {"linux.sysctl", "sysctl"},
	{"annotations", "annotation"}, {"process.capabilities", "cap-add"},
}

// within reports whether a place is another one or in it.
func within(place, other string) bool {
	rest, ok := strings.CutPrefix(place, other)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// indexIn reads the number after a prefix.
func indexIn(place, prefix string) (int, bool) {
	rest, ok := strings.CutPrefix(place, prefix)
	number, _, _ := strings.Cut(rest, "]")
	i, err := strconv.Atoi(number)
	return i, ok && err == nil
}

// mountFlag finds the flag that asked for a mount.
func (r *rootfsFlags) mountFlag(source, destination string, v runflags.Values) string {
	for _, text := range r.volumes {
		if parts := strings.SplitN(text, ":", 3); len(parts) > 1 && parts[0] == source && parts[1] == destination {
			return "--volume " + text
		}
	}
	if r.here && source == destination {
		return "--here"
	}
	for _, name := range [...]string{"tmpfs", "mount", "device", "shm-size"} {
		for _, text := range v[name] {
			if runflags.Mounts(name, text, destination) {
				return "--" + name + " " + text
			}
		}
	}
	return ""
}
