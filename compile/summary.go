package compile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/userns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SummaryLine is what a person wants to know of one subject.
type SummaryLine struct{ Subject, Text string }

// Summarize says in eight lines what a container has and may: namespaces, ids, its
// root, what it can write, its cgroup and limits, its network, its privileges and
// its program.
func Summarize(s *specs.Spec, f *host.Facts, r *Result) []SummaryLine {
	s = withDefaults(s)
	return []SummaryLine{
		{"namespaces", summarizeNamespaces(s, r)},
		{"ids", summarizeIDs(s, f, r)},
		{"root", summarizeRoot(s, f)},
		{"writable", summarizeWritable(s, r)},
		{"cgroup", summarizeCgroup(r)},
		{"network", summarizeNetwork(s, r)},
		{"privileges", summarizePrivileges(s, r)},
		{"program", summarizeProgram(s)},
	}
}

func summarizeNamespaces(s *specs.Spec, r *Result) string {
	own, joined, shared := []string{}, []string{}, []string{}
	for _, kind := range []specs.LinuxNamespaceType{specs.UserNamespace, specs.MountNamespace, specs.PIDNamespace, specs.NetworkNamespace,
		specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace, specs.TimeNamespace} {
		i := slices.IndexFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == kind })
		switch {
		case i >= 0 && s.Linux.Namespaces[i].Path != "":
			joined = append(joined, string(kind)+" ("+s.Linux.Namespaces[i].Path+")")
		case i >= 0 || r.Namespaces&flagOf(kind) != 0:
			own = append(own, string(kind))
		default:
			shared = append(shared, string(kind))
		}
	}
	text := listed("; its own: ", own) + listed("; joined: ", joined) + listed("; the host's: ", shared)
	return strings.TrimPrefix(text, "; ")
}

// listed is a list with a word before it; empty without elements.
func listed(before string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return before + strings.Join(list, ", ")
}

func summarizeIDs(s *specs.Spec, f *host.Facts, r *Result) string {
	user := s.Process.User
	text := fmt.Sprintf("the program is %d:%d", user.UID, user.GID)
	if r.Maps == nil {
		if slices.ContainsFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace }) {
			return text + ", as the user namespace maps it"
		}
		return text + ", as outside"
	}
	if uid, ok := userns.ToHost(user.UID, r.Maps.UID.Mappings); ok {
		who := ""
		if int(uid) == f.Process.UID {
			who = ", who calls"
		}
		text += fmt.Sprintf(" (outside %d%s)", uid, who)
	}
	return text + "; users: " + mapped(r.Maps.UID.Mappings) + "; groups: " + mapped(r.Maps.GID.Mappings)
}

func mapped(list []host.Mapping) string {
	var parts []string
	for _, m := range list {
		parts = append(parts, span(m.ContainerID, m.Size)+" are "+span(m.HostID, m.Size))
	}
	return strings.Join(parts, ", ")
}

func span(first, size uint32) string {
	if size == 1 {
		return strconv.FormatUint(uint64(first), 10)
	}
	return fmt.Sprintf("%d-%d", first, uint64(first)+uint64(size)-1)
}

func summarizeRoot(s *specs.Spec, f *host.Facts) string {
	how := "writable"
	if s.Root.Readonly {
		how = "read-only"
	}
	return f.Rootfs.Path + ", " + how + listed("; covered: ", covered(s.Linux.MaskedPaths))
}

// covered are the masked paths that are no part of the kernel's file systems.
func covered(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return strings.HasPrefix(p, "/proc/") || strings.HasPrefix(p, "/sys/") })
}

func summarizeWritable(s *specs.Spec, r *Result) string {
	var list []string
	if !s.Root.Readonly {
		list = append(list, "/")
	}
	for _, m := range s.Mounts {
		switch {
		case slices.Contains(m.Options, "ro") || m.Type == "proc" || m.Type == "sysfs":
		case m.Type == "tmpfs" || m.Type == "mqueue" || m.Type == "devpts":
			list = append(list, m.Destination+" (new, in memory)")
		case m.Type == "cgroup" || m.Type == "cgroup2":
			list = append(list, m.Destination+" (its cgroup)")
		case slices.Contains(r.Copied, m.Source):
			list = append(list, m.Destination+" (its own, in memory)")
		default:
			list = append(list, m.Destination+" (from "+m.Source+")")
		}
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

func summarizeCgroup(r *Result) string {
	if r.Joins {
		return r.Cgroup.Reason
	}
	var limits []string
	for _, s := range r.Plan.Runtime() {
		if w, ok := s.Action.(action.WriteCgroup); ok && !w.Again && !slices.Contains(limits, w.Write.File+" "+w.Write.Value) {
			limits = append(limits, w.Write.File+" "+w.Write.Value)
		}
	}
	if len(limits) == 0 {
		limits = []string{"no limits"}
	}
	return r.Cgroup.Reason + "; " + strings.Join(limits, ", ")
}

func summarizeNetwork(s *specs.Spec, r *Result) string {
	for _, step := range r.Plan.Runtime() {
		if n, ok := step.Action.(action.StartNetwork); ok {
			return connected(n.Connection)
		}
	}
	i := slices.IndexFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.NetworkNamespace })
	switch {
	case i < 0:
		return "the host's"
	case s.Linux.Namespaces[i].Path != "":
		return "that of " + s.Linux.Namespaces[i].Path
	}
	return "its own, with a loopback device only"
}

func connected(n *netns.Connection) string {
	var ports []string
	for _, p := range n.Ports {
		ports = append(ports, p.String())
	}
	by := string(n.Network.Mode)
	if n.Network.Mode == netns.Auto {
		by = "pasta or slirp4netns"
	}
	return "its own, connected by " + by + listed("; ports: ", ports)
}

func summarizePrivileges(s *specs.Spec, r *Result) string {
	list := []string{"no capabilities"}
	if c := s.Process.Capabilities; c != nil && len(c.Effective) > 0 {
		list = []string{strconv.Itoa(len(c.Effective)) + " capabilities (" + strings.Join(c.Effective, ", ") + ")"}
	}
	if s.Process.NoNewPrivileges {
		list = append(list, "no new privileges")
	}
	for i := r.Plan.Len() - 1; i >= 0; i-- { // the program's: homerun's own init may have one before it
		if f, ok := r.Plan.Step(i).Op.(plan.Seccomp); ok {
			list = append(list, "a seccomp filter of "+strconv.Itoa(len(f.Program)/8)+" instructions")
			break
		}
	}
	return strings.Join(list, ", ")
}

func summarizeProgram(s *specs.Spec) string {
	if len(s.Process.Args) == 0 {
		return "none"
	}
	var words []string
	for _, a := range s.Process.Args {
		words = append(words, strconv.Quote(a))
	}
	text := strings.Join(words, " ") + " in " + s.Process.Cwd
	if s.Process.Terminal {
		text += ", with a terminal"
	}
	return text
}
