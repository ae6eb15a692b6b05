package runflags

import (
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// KeepGroups is the value of --group-add that leaves the program the caller's groups.
const KeepGroups = "keep-groups"

// addGroups: names are ids by now.
func (c *config) addGroups(values []string) error {
	for _, text := range values {
		if text == KeepGroups {
			if len(values) > 1 {
				return wrong("group-add", text, "it cannot be had together with other groups")
			}
			c.annotate("run.oci.keep_original_groups", "1")
			return nil
		}
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return wrong("group-add", text, "want a group's name or id, or keep-groups")
		}
		c.Process.User.AdditionalGids = append(c.Process.User.AdditionalGids, uint32(n))
	}
	return nil
}

// setCapabilities: --cap-drop ALL takes the default ones and --cap-add ALL gives every
// one, what is added and dropped by name comes after that, as with docker.
func (c *config) setCapabilities(drop, add []string) error {
	if len(drop) == 0 && len(add) == 0 {
		return nil
	}
	dropped, all, err := capabilityNames("cap-drop", drop)
	if err != nil {
		return err
	}
	added, every, err := capabilityNames("cap-add", add)
	if err != nil {
		return err
	}
	for _, name := range added {
		if slices.Contains(dropped, name) {
			return wrong("cap-add", name, "--cap-drop takes the same capability")
		}
	}
	var list []string
	if old := c.Process.Capabilities; old != nil && !all {
		list = old.Bounding
	}
	if every {
		list = plan.Capabilities()
		added = append(list, added...)
	}
	list, added = unique(append(list[:len(list):len(list)], added...), dropped), unique(added, dropped)
	caps := &specs.LinuxCapabilities{Bounding: list, Effective: list, Permitted: list}
	if c.Process.User.UID != 0 { // execve takes all but the ambient ones from a user: capabilities(7)
		caps.Effective, caps.Permitted, caps.Inheritable, caps.Ambient = added, added, added, added
	}
	c.Process.Capabilities = caps
	return nil
}

// capabilityNames reads names with CAP_ or without, in any case; all: ALL is among
// them.
func capabilityNames(flag string, values []string) (names []string, all bool, err error) {
	for _, value := range values {
		for _, text := range strings.Split(value, ",") {
			name := strings.ToUpper(text)
			if name == "ALL" {
				all = true
				continue
			}
			if !strings.HasPrefix(name, "CAP_") {
				name = "CAP_" + name
			}
			if _, known := plan.CapabilityNumber(name); !known {
				return nil, false, wrong(flag, text, "unknown capability: want a name of capabilities(7), as NET_RAW, or ALL")
			}
			names = append(names, name)
		}
	}
	return names, all, nil
}

// unique leaves the first of each name, and none of those that are dropped.
func unique(list, dropped []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) && !slices.Contains(dropped, s) {
			out = append(out, s)
		}
	}
	return out
}

// hostMode reads the mode of a namespace, which says whether the container stays in the caller's.
func hostMode(flag, text string) (bool, error) {
	switch text {
	case "host":
		return true, nil
	case "private":
		return false, nil
	}
	want := "want private or host"
	if flag == "userns" {
		want = "want keep-id, private or, as root, host"
	}
	return false, wrong(flag, text, want)
}

// leave takes a namespace from the config, so that the container is in the caller's.
func (c *config) leave(kind specs.LinuxNamespaceType) {
	var kept []specs.LinuxNamespace
	for _, n := range c.Linux.Namespaces {
		if n.Type != kind {
			kept = append(kept, n)
		}
	}
	c.Linux.Namespaces = kept
}

// setUserNamespace: that host is for root alone, the caller has looked after.
func (c *config) setUserNamespace(values []string) error {
	text := last(values)
	switch kind, _, _ := strings.Cut(text, ":"); kind {
	case "auto":
		return wrong("userns", text, "homerun keeps no account of which ids are taken: all of yours are mapped without it")
	case "nomap":
		return wrong("userns", text, "your own id is the container's root, or nothing could be made for it: want keep-id or private, or leave it out")
	case "keep-id": // the caller has made it so
		if text != kind {
			return wrong("userns", text, "you have your own id in it, and no other: want keep-id alone")
		}
		return nil
	default:
		host, err := hostMode("userns", text)
		if host {
			c.leave(specs.UserNamespace)
		}
		return err
	}
}

// setPIDNamespace: no new procfs shows another namespace's processes, so the outer one
// is bound.
func (c *config) setPIDNamespace(values []string) error {
	host, err := hostMode("pid", last(values))
	if !host {
		return err
	}
	c.leave(specs.PIDNamespace)
	c.share("/proc")
	return nil
}

// setIPCNamespace: what there is of it in the file system is the caller's, too.
func (c *config) setIPCNamespace(values []string) error {
	host, err := hostMode("ipc", last(values))
	if !host {
		return err
	}
	c.leave(specs.IPCNamespace)
	c.share("/dev/shm")
	c.share("/dev/mqueue")
	if !c.host.Queues {
		var kept []specs.Mount
		for _, m := range c.Mounts {
			if m.Destination != "/dev/mqueue" {
				kept = append(kept, m)
			}
		}
		c.Mounts = kept
	}
	return nil
}

// share has a mount show the host's own.
func (c *config) share(destination string) {
	if m := c.mountAt(destination); m != nil && m.Type != "bind" {
		m.Type, m.Source, m.Options = "bind", destination, []string{"rbind", "nosuid", "noexec", "nodev"}
	}
}

func (c *config) setUTSNamespace(values []string) error {
	host, err := hostMode("uts", last(values))
	if host {
		c.leave(specs.UTSNamespace)
		c.Hostname = ""
	}
	return err
}

// CheckHostname refuses what no host is called, as docker does: RFC 1123, 2.1.
func CheckHostname(name string) error {
	for _, part := range strings.Split(name, ".") {
		ok := part != "" && !strings.HasPrefix(part, "-") && !strings.HasSuffix(part, "-")
		for _, r := range part {
			ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}
		if !ok {
			return wrong("hostname", name, "want letters, digits, - and . alone, as box-1")
		}
	}
	if len(name) > 64 {
		return wrong("hostname", name, "it is longer than 64 bytes")
	}
	return nil
}
