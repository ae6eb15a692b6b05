package main

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// other is a process in other namespaces.
func other(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWIPC}
	if err := cmd.Start(); err != nil {
		t.Skipf("needs user namespaces: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// parameters are those of a kernel.
func parameters() map[string]string {
	return map[string]string{"/proc/sys/net/ipv4/ip_forward": "", "/proc/sys/net/ipv4/tcp_rmem": "", "/proc/sys/net/ipv4/conf/default/forwarding": "",
		"/proc/sys/fs/mqueue/msg_max": "", "/proc/sys/kernel/shmmax": "", "/proc/sys/net/ipv4/conf/lo/lo_has": "", "/proc/sys/net/mpls/conf/lo/input": "",
		"/proc/sys/net/ipv4/neigh/default/retrans_time": ""}
}

// noParameter is what lint says of one that the kernel does not have.
func noParameter(key, meant string) string {
	return `linux.sysctl["` + key + `"]: the kernel has no parameter ` + key + meant +
		"|sysctl -a lists those that it has; if a module brings it, load that first, as nf_conntrack for net.netfilter"
}

// TestParameters: one that the kernel does not have is said, by the name that config.json has.
func TestParameters(t *testing.T) {
	files := parameters()
	for _, c := range []struct {
		key   string
		files map[string]string
		want  string
	}{
		{"net.ipv4.ip_forward", files, ""},
		{"net/ipv4/ip_forward", files, ""},
		{"net.ipv4.ip_forwrad", files, noParameter("net.ipv4.ip_forwrad", "; did you mean ip_forward?")},
		{"net/ipv4/ip_forwrad", files, noParameter("net/ipv4/ip_forwrad", "; did you mean ip_forward?")},
		{"net.ipv4.ip_forward.x", files, noParameter("net.ipv4.ip_forward.x", "")},
		{"net.netfilter.nf_conntrack_max", files, noParameter("net.netfilter.nf_conntrack_max", "")},
		{"fs.mqueue.msg_mx", files, noParameter("fs.mqueue.msg_mx", "; did you mean msg_max?")},
		{"fs.mqueue.msg_max", files, ""},
		{"kernel.shmmax", files, ""},
		{"kernel.shmall", files, noParameter("kernel.shmall", "")},
		// What one interface has, each has; and one of that name may come.
		{"net.ipv4.conf.eth0.forwarding", files, ""},
		{"net/ipv4/conf/eth0.1/forwarding", files, ""},
		{"net.ipv4.conf.eth0.forwardign", files, noParameter("net.ipv4.conf.eth0.forwardign", "; did you mean forwarding?")},
		{"net.ipv4.neigh.eth0.retrans_time", files, ""},
		{"net.ipv4.conf.lo.lo_has", files, ""},
		{"net.mpls.conf.eth0.input", files, ""},
		{"net.ipv6.conf.eth0.forwarding", files, ""},
		{"net.ipv6.conf.all.forwarding", files, noParameter("net.ipv6.conf.all.forwarding", "")},
		// Nothing can be told.
		{"net.ipv4.ip_forwrad", map[string]string{"/proc/sys/kernel/shmmax": ""}, ""},
	} {
		list := impossibleBy(t, kernelOf(t, c.files), namespaces+`,"sysctl":{"`+c.key+`":"1"}}}`)
		wantFindings(t, c.key, list, c.want)
	}
	if list := impossibleBy(t, kernel{}, strings.Replace(namespaces, "pid", "uts", 1)+`,"sysctl":{"kernel.domainname":"x","net.ipv4.ping_group_range":"0 0"}}}`); len(list) > 0 {
		t.Errorf("%+v", list)
	}
	// Others are refused before that, and that is said once.
	list := impossibleBy(t, kernelOf(t, files), namespaces+`,"sysctl":{"kernel.no_such":"1"}}}`)
	wantFindings(t, "foreign", list, "linux.sysctl.kernel.no_such: set the kernel parameter kernel.no_such: it does not belong to a namespace")
	if len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

// TestParametersJoined: another namespace that is there may have other parameters.
func TestParametersJoined(t *testing.T) {
	pid := other(t)
	for _, c := range []struct{ kind, key, want string }{
		{"network", "net.ipv4.ip_forwrad", ""},
		{"network", "kernel.shmall", noParameter("kernel.shmall", "")},
		{"ipc", "kernel.shmall", ""},
		{"ipc", "net.ipv4.ip_forwrad", noParameter("net.ipv4.ip_forwrad", "; did you mean ip_forward?")},
	} {
		path := fmt.Sprintf("/proc/%d/ns/%s", pid, strings.Replace(c.kind, "work", "", 1))
		joined := strings.Replace(namespaces, `{"type":"`+c.kind+`"}`, `{"type":"`+c.kind+`","path":"`+path+`"}`, 1)
		list := impossibleBy(t, kernelOf(t, parameters()), joined+`,"sysctl":{"`+c.key+`":"1"}}}`)
		wantFindings(t, c.kind+" "+c.key, list, c.want)
	}
}
