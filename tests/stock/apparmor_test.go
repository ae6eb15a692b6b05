package stock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/tests/guest"
)

// profiles are one that denies two files, for the program, and another, for what exec starts.
const profiles = `
abi <abi/4.0>,
profile homerun-stock flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, mount, umount, signal, ptrace, unix, userns,
  deny /secret r,
  deny /etc/closed w,
}
profile homerun-stock-exec flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, mount, umount, signal, ptrace, unix, userns,
  deny /exec-secret r,
}
`

// load has the kernel take a profile, and forget it at the end of the test.
func load(t *testing.T, path string) {
	t.Helper()
	guest.Must(t, "apparmor_parser", "--replace", "--skip-cache", path)
	t.Cleanup(func() { guest.Must(t, "apparmor_parser", "--remove", path) })
}

func loadProfiles(t *testing.T) {
	t.Helper()
	need(t, "AppArmor")
	if got := read(t, "/sys/module/apparmor/parameters/enabled"); got != "Y" {
		t.Fatalf("AppArmor is not enabled: %s", got)
	}
	path := filepath.Join(t.TempDir(), "profiles")
	write(t, path, profiles)
	load(t, path)
}

const look = "echo $(cat /proc/self/attr/current) $(cat /secret 2>/dev/null || echo no) $(cat /exec-secret 2>/dev/null || echo no)"

// The profile confines the program, and it alone: what homerun does before needs what the profile denies.
func TestAppArmorProfile(t *testing.T) {
	loadProfiles(t)
	callers(t, func(t *testing.T, dev bool) {
		for _, noNewPrivileges := range []bool{false, true} {
			c := newContainer(t, dev, "sh", "-c", look)
			c.set("process.apparmorProfile", "homerun-stock").set("process.noNewPrivileges", noNewPrivileges)
			c.prints("homerun-stock (enforce) no seen")
		}
		c := newContainer(t, dev, "sh", "-c", look)
		c.prints("unconfined seen seen")
		c.set("process.apparmorProfile", "unconfined").prints("unconfined seen seen")
	})
}

// What exec starts has the container's profile, or the one that is asked for.
func TestAppArmorExec(t *testing.T) {
	loadProfiles(t)
	callers(t, func(t *testing.T, dev bool) {
		c := newContainer(t, dev, "sleep", "1000").set("process.apparmorProfile", "homerun-stock")
		c.start()
		if got, want := c.must("exec", c.id, "sh", "-c", look), "homerun-stock (enforce) no seen"; got != want {
			t.Errorf("exec: %q, not %q", got, want)
		}
		if got, want := c.must("exec", "--apparmor", "homerun-stock-exec", c.id, "sh", "-c", look), "homerun-stock-exec (enforce) seen no"; got != want {
			t.Errorf("exec --apparmor: %q, not %q", got, want)
		}
		out, err := c.homerun("--debug", "exec", "--apparmor", "homerun-nowhere", c.id, "true")
		if err == nil || !strings.Contains(out, "homerun-nowhere") || !strings.Contains(out, "not loaded") {
			t.Errorf("exec with a profile that is not loaded: %v: %s", err, out)
		}
	})
}

// A profile that is not loaded is an error which says that, and what helps.
func TestAppArmorNotLoaded(t *testing.T) {
	need(t, "AppArmor")
	callers(t, func(t *testing.T, dev bool) {
		c := newContainer(t, dev, "echo", "ran").set("process.apparmorProfile", "homerun-nowhere")
		c.refuses("run under the AppArmor profile homerun-nowhere (process.apparmorProfile)", "not loaded", "apparmor_parser")
	})
}

// restricted is what a kernel makes of each program where user namespaces are restricted: Ubuntu's sysctl
// kernel.apparmor_restrict_unprivileged_userns does so to what has no profile. Debian's kernel has no such sysctl, but
// denies user namespaces to a profile that does not name them, by the same hook of AppArmor's.
const restricted = `
abi <abi/4.0>,
profile homerun-stock-restricted flags=(attach_disconnected) {
  file, capability, network, mount, umount, signal, ptrace, unix, dbus,
  /usr/{local/,}bin/homerun px -> homerun,
}
`

// The profile that homerun brings lets it make user namespaces where others may not, and confines no container.
func TestOwnProfile(t *testing.T) {
	need(t, "AppArmor")
	load(t, "../../contrib/apparmor/homerun")
	confine := restrict(t)
	c := newContainer(t, true, "cat", "/proc/self/attr/current")
	c.before = confine
	c.prints("homerun (unconfined)")
}

// restrict restricts user namespaces, for what is executed by the words that it returns at least.
func restrict(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"); err == nil {
		write(t, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
	}
	path := filepath.Join(t.TempDir(), "restricted")
	write(t, path, restricted)
	load(t, path)
	confine := []string{"aa-exec", "--profile", "homerun-stock-restricted", "--", "env"} // from which homerun is executed
	if out, err := commandOfDev(t, append(confine, "unshare", "--user", "true")...); err == nil {
		t.Fatalf("nothing is restricted: %s", out)
	}
	return confine
}

// The deb has the kernel take that profile, for the homerun that it installs, and forget it when the deb is removed.
func TestPackage(t *testing.T) {
	need(t, "AppArmor")
	const deb, profiles = "../../bin/test/homerun.deb", "/sys/kernel/security/apparmor/profiles"
	if _, err := os.Stat(deb); err != nil {
		t.Fatalf("%v: go test ./tests/packages puts it there", err)
	}
	guest.Must(t, "dpkg", "--install", deb)
	if got := read(t, profiles); !strings.Contains("\n"+got, "\nhomerun (unconfined)") {
		t.Errorf("not loaded: %s", got)
	}
	confine := restrict(t)
	if out, err := commandOfDev(t, append(confine, "/usr/bin/homerun", "run", "--rootfs", "/", "--", "cat", "/proc/self/attr/current")...); err != nil || !strings.HasSuffix(out, "homerun (unconfined)") {
		t.Errorf("%v: %s", err, out)
	}
	guest.Must(t, "dpkg", "--purge", "homerun")
	if got := read(t, profiles); strings.Contains("\n"+got, "\nhomerun ") {
		t.Errorf("loaded: %s", got)
	}
}
