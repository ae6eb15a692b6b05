package security

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// mountTable is the host's mountinfo, sorted, without the ids that count up.
func mountTable(t testing.TB) string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(string(text), "\n") {
		others := strings.Contains(line, "/netns/") || strings.Contains(line, "/tmp/homerun-") && !strings.Contains(line, w.dir)
		if !others { // other tests' come and go
			lines = append(lines, line)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// sysctls hashes each kernel parameter that does not change by itself.
func sysctls(t testing.TB) string {
	var b strings.Builder
	err := filepath.WalkDir("/proc/sys", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || changing(p) {
			return nil
		}
		if text, err := os.ReadFile(p); err == nil {
			fmt.Fprintf(&b, "%s %x\n", p, sha256.Sum256(text))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// changing are parameters that count something.
func changing(p string) bool {
	for _, s := range []string{"/random/", "-state", "-nr", "/nr", "ns_last_pid", "stat_refresh", "/pty/", "/route/", "/neigh/",
		"/net/ipv6/conf", "/net/ipv4/conf", "/net/netfilter", "nf_conntrack", "/cad_pid", "sched_domain", "fs/quota", "timer_stats"} {
		if strings.Contains(p, s) {
			return true
		}
	}
	return false
}

// cgroups lists the directories of the cgroup tree.
func cgroups(t testing.TB) string {
	var b strings.Builder
	_ = filepath.WalkDir("/sys/fs/cgroup", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(p, "homerun-security") {
			b.WriteString(p + "\n")
		}
		return nil
	})
	return b.String()
}

// devices lists /dev without terminals, which come and go.
func devices(t testing.TB) string {
	var lines []string
	for _, line := range strings.Split(describe(t, "/dev", false), "\n") {
		if !strings.HasPrefix(line, "/dev/pts") && !strings.HasPrefix(line, "/dev/shm") && !strings.HasPrefix(line, "/dev/mqueue/") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// TestHostUnchanged: a container that sets what it can leaves no trace outside
// of its bundle.
func TestHostUnchanged(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		looks := map[string]func(testing.TB) string{"mountinfo": mountTable, "/dev": devices, "sysctl": sysctls, "cgroups": cgroups}
		before := map[string]string{}
		for name, look := range looks {
			before[name] = look(t)
		}
		for _, propagation := range []string{"", "rshared", "rslave", "shared", "slave", "private", "rprivate", "unbindable", "runbindable"} {
			b := newBundle(t, c, "ok")
			b.spec.Linux.RootfsPropagation = propagation
			b.spec.Linux.Sysctl = map[string]string{"kernel.shm_rmid_forced": "1", "net.ipv4.ip_default_ttl": "42", "kernel.domainname": "x"}
			b.spec.Hostname, b.spec.Domainname = "elsewhere", "nowhere"
			if r := b.run(); r.status != 0 {
				t.Errorf("rootfsPropagation %q: %s", propagation, r.stderr)
			}
		}
		for name, look := range looks {
			if after := look(t); after != before[name] {
				t.Errorf("%s of the host changed:\n%s", name, difference(before[name], after))
			}
		}
	})
}
