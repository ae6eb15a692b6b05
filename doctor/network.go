package doctor

import (
	"fmt"
	"path"
	"strings"

	"github.com/homerun-oci/homerun/plain"
)

const unconnected = "containers have no network but their own loopback, and --net pasta and -p fail; --net host and --net none work"

// tun is the device that each driver needs.
func (h *Host) tun() Row {
	r := Row{State: Missing, Consequence: unconnected}
	switch h.Network.Tun {
	case "":
		return fine("/dev/net/tun can be opened")
	case "EACCES", "EPERM":
		r.Found = "/dev/net/tun cannot be opened by this user: " + h.Network.Tun
		r.Fix = []string{"sudo chmod 0666 /dev/net/tun"}
		r.Advice = "it stays so with systemd's own udev rules; in an outer container: give that --device /dev/net/tun"
	case "ENOENT", "ENODEV", "ENXIO":
		r.Found = "there is no /dev/net/tun: " + h.Network.Tun
		r.Fix = []string{"sudo modprobe tun", "sudo chmod 0666 /dev/net/tun", "echo tun | sudo tee /etc/modules-load.d/60-homerun.conf"} // without udev it is root's
		if h.Network.TunDriver {
			r.Found = "the kernel has the driver, but " + r.Found
			r.Fix = []string{"sudo mkdir -p /dev/net", "sudo mknod -m 666 /dev/net/tun c 10 200"}
		}
		r.Advice = "in an outer container: give that --device /dev/net/tun"
	default:
		r.Found = "/dev/net/tun cannot be opened: " + h.Network.Tun
		r.Advice = "an outer container's rules for devices forbid it: give that --device /dev/net/tun"
	}
	return r
}

func (h *Host) networkDriver() Row {
	n := &h.Network
	var found []string
	for _, p := range []Program{n.Pasta, n.Slirp} {
		if p.Path != "" && p.Trouble == "" {
			found = append(found, strings.TrimSpace(p.Path+" "+version(p)))
		}
	}
	r := Row{State: Missing, Consequence: unconnected}
	switch {
	case n.Pasta.Trouble != "":
		r.Found = n.Pasta.Path + " does not run: " + n.Pasta.Trouble
		if len(found) > 0 {
			r.State, r.Consequence = Degraded, "without --net slirp4netns, containers have no network but their own loopback"
		}
		h.Packages.install(&r, "passt")
	case n.Slirp.Trouble != "":
		r.Found = n.Slirp.Path + " does not run: " + n.Slirp.Trouble
		if len(found) > 0 {
			r.State, r.Consequence = Degraded, "--net slirp4netns fails"
		}
		h.Packages.install(&r, "slirp4netns")
	case len(found) == 0:
		r.Found = "neither pasta nor slirp4netns is installed"
		h.Packages.install(&r, "passt")
	default:
		return fine(strings.Join(found, ", "))
	}
	return r
}

// version is the word of a line that begins with a digit: pasta's has its name and
// perhaps that of a distribution.
func version(p Program) string {
	for _, word := range strings.Fields(p.Version) {
		if word[0] >= '0' && word[0] <= '9' {
			return word
		}
	}
	return ""
}

func (h *Host) nsenter() Row {
	if h.Network.Nsenter.Path != "" {
		return fine(h.Network.Nsenter.Path)
	}
	r := Row{State: Missing, Found: "nsenter is not installed", Consequence: "ports cannot be published with slirp4netns, nor added while a container runs"}
	h.Packages.install(&r, "util-linux")
	return r
}

func (h *Host) homerunNet() Row { return h.helper("homerun-net", unconnected) }

func (h *Host) homerunSeccomp() Row {
	return h.helper("homerun-seccomp", "a seccomp profile that is not cached cannot be compiled, and a config that has one is refused; podman's all do")
}

func (h *Host) homerunLog() Row {
	return h.helper("homerun-log", "what a program of run --detach writes to a terminal is not kept, so homerun logs has nothing")
}

func (h *Host) helper(name, consequence string) Row {
	p := h.Helpers[name]
	if p.Path != "" {
		return fine(p.Path)
	}
	r := Row{State: Missing, Found: name + " is neither at " + strings.Join(p.Places, " nor at "), Consequence: consequence}
	if len(p.Places) == 0 {
		return Row{}
	}
	if p.Elsewhere != "" {
		r.Fix = []string{"sudo install -D -m 755 " + plain.ShellWord(p.Elsewhere) + " " + plain.ShellWord(p.Places[0])}
		r.Advice = p.Elsewhere + " has to be of the same version"
		return r
	}
	r.Fix = []string{"sudo make install PREFIX=" + plain.ShellWord(path.Dir(path.Dir(p.Places[0])))}
	r.Advice = "run that where the sources of this version are; homerun's programs are installed together"
	return r
}

// ping and lowPorts are no lack: they say what a container of this user may.
func (h *Host) ping() Row {
	var first, last uint32
	if n, _ := fmt.Sscan(h.Network.PingGroups, &first, &last); n == 2 && first <= last {
		return fine(fmt.Sprintf("allowed outside to groups %d-%d (net.ipv4.ping_group_range)", first, last))
	}
	return Row{State: OK, Found: "outside only with CAP_NET_RAW (net.ipv4.ping_group_range); in a container, root may",
		Advice: "to let everybody: sudo sysctl net.ipv4.ping_group_range='0 2147483647'"}
}

func (h *Host) lowPorts() Row {
	first := h.Network.FirstPort
	if first == "" {
		return Row{}
	}
	r := fine("ports from " + first + " on can be published (net.ipv4.ip_unprivileged_port_start)")
	if first != "0" {
		r.Advice = "for lower ones: sudo sysctl net.ipv4.ip_unprivileged_port_start=80"
	}
	return r
}
