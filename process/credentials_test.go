package process

import (
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// credentials are those of user 5 with one capability of two.
func credentials(change func(c *Credentials)) Credentials {
	c := Credentials{Facts: &host.Facts{Kernel: host.Kernel{LastCapability: 1}}, Setgroups: true,
		Process: &specs.Process{User: specs.User{UID: 5, GID: 6}, Capabilities: &specs.LinuxCapabilities{
			Bounding: []string{"CAP_CHOWN"}, Permitted: []string{"CAP_CHOWN"}, Effective: []string{"CAP_CHOWN"}}}}
	change(&c)
	return c
}

func TestCredentials(t *testing.T) {
	const (
		bounding = "prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)\n"
		groups   = "setgroups(0, NULL)\n"
		hide     = "prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE)\n"
		ids      = "setresgid(6, 6, 6)\n" + hide + "prctl(PR_SET_KEEPCAPS, 1)\nsetresuid(5, 5, 5)\n" + hide + "prctl(PR_SET_KEEPCAPS, 0)\n"
		capset   = "capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, "
		sets     = capset + "{effective=1<<CAP_CHOWN, permitted=1<<CAP_CHOWN, inheritable=0})\n"
		clear    = "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)"
	)
	tests := []struct {
		name   string
		change func(c *Credentials)
		want   string
	}{
		{"a user", func(*Credentials) {}, bounding + groups + ids + sets + clear},
		{"root", func(c *Credentials) { c.Process.User = specs.User{} },
			bounding + groups + "setresgid(0, 0, 0)\n" + hide + "setresuid(0, 0, 0)\n" + hide + sets + clear},
		{"groups", func(c *Credentials) { c.GIDs = []uint32{7, 8} }, bounding + "setgroups(2, [7, 8])\n" + ids + sets + clear},
		{"setgroups denied", func(c *Credentials) { c.Setgroups = false }, bounding + ids + sets + clear},
		{"the caller's groups", func(c *Credentials) { c.KeepGroups, c.GIDs = true, []uint32{7} }, bounding + ids + sets + clear},
		{"somebody's namespace", func(c *Credentials) { c.Foreign = true }, bounding + "setgroups(0, NULL)  // EPERM\n" + ids + sets + clear},
		{"groups in somebody's namespace", func(c *Credentials) { c.Foreign, c.GIDs = true, []uint32{7} },
			bounding + "setgroups(1, [7])\n" + ids + sets + clear},
		{"no capabilities", func(c *Credentials) { c.Process.Capabilities = nil }, "prctl(PR_CAPBSET_DROP, CAP_CHOWN)\n" + bounding + groups + ids +
			capset + "{effective=0, permitted=0, inheritable=0})\n" + clear},
		{"one to keep", func(c *Credentials) { c.Keep = 1 << unix.CAP_SYS_ADMIN }, bounding + groups + ids +
			capset + "{effective=1<<CAP_CHOWN|1<<CAP_SYS_ADMIN, permitted=1<<CAP_CHOWN|1<<CAP_SYS_ADMIN, inheritable=0})\n" + clear},
		{"ambient", func(c *Credentials) {
			c.Process.Capabilities.Inheritable, c.Process.Capabilities.Ambient = []string{"CAP_CHOWN"}, []string{"CAP_CHOWN"}
		}, bounding + groups + ids + capset + "{effective=1<<CAP_CHOWN, permitted=1<<CAP_CHOWN, inheritable=1<<CAP_CHOWN})\n" + clear +
			"\nprctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := credentials(test.change)
			expect(t, lines(t, func(b *plan.Builder) { c.Set(b) }), strings.Split(test.want, "\n")...)
		})
	}
}

func TestDrop(t *testing.T) {
	const capset = "capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=1<<CAP_CHOWN, permitted=1<<CAP_CHOWN, inheritable=0})"
	tests := []struct {
		keep uint64
		want []string
	}{
		{0, nil},
		{1 << unix.CAP_CHOWN, nil}, // config.json has it anyway
		{1 << unix.CAP_SYS_ADMIN, []string{capset}},
	}
	for _, test := range tests {
		c := credentials(func(c *Credentials) { c.Keep = test.keep })
		expect(t, lines(t, c.Drop), test.want...)
	}
}

func TestUnknownCapabilities(t *testing.T) {
	c := credentials(func(c *Credentials) { c.Process.Capabilities.Bounding = []string{"CAP_CHOWN", "CAP_X"} })
	if got := c.Set(plan.NewBuilder(3)); len(got) != 1 || got[0] != `process.capabilities: unknown capability "CAP_X" is ignored` {
		t.Errorf("got %q", got)
	}
}

func TestNoNewPrivileges(t *testing.T) {
	expect(t, lines(t, func(b *plan.Builder) { NoNewPrivileges(b, &specs.Process{}) }))
	expect(t, lines(t, func(b *plan.Builder) { NoNewPrivileges(b, &specs.Process{NoNewPrivileges: true}) }),
		"prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)")
}
