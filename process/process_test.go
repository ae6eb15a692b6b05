package process

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// lines are the operations that fill adds, as printed.
func lines(t *testing.T, fill func(b *plan.Builder)) []string {
	t.Helper()
	b := plan.NewBuilder(3)
	fill(b)
	n := b.Len()
	b.Do(plan.ExitGroup{})
	p, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for i := range n {
		list = append(list, p.Line(i))
	}
	return list
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEnvironment(t *testing.T) {
	tests := []struct{ env, home, want string }{
		{"", "", "HOME=/"},
		{"", "/root", "HOME=/root"},
		{"A=1 B=2", "/root", "A=1 B=2 HOME=/root"},
		{"HOME=/x A=1", "/root", "HOME=/x A=1"},
		{"HOME= A=1", "/root", "A=1 HOME=/root"},
		{"HOME=/x HOME=", "/root", "HOME=/root"},
		{"HOME= HOME=/x", "/root", "HOME=/x"},
		{"A=1 B=2 A=3", "/", "B=2 A=3 HOME=/"},
		{"A=1 A=1 A=1", "/", "A=1 HOME=/"},
		{"A A=1", "/", "A=1 HOME=/"},
		{"A=1=2 =x HOMER=1", "/", "A=1=2 =x HOMER=1 HOME=/"},
	}
	for _, test := range tests {
		env := strings.Fields(test.env)
		got := Environment(env, test.home)
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("%q with home %q: got %q, want %q", test.env, test.home, text, test.want)
		}
		if strings.Join(env, " ") != test.env {
			t.Errorf("%q became %q", test.env, env)
		}
	}
}

func TestHasHome(t *testing.T) {
	for env, want := range map[string]bool{"": false, "HOME=": false, "HOME=/x": true, "HOME=/x HOME=": false, "HOME= HOME=/x": true, "HOMER=/x": false} {
		if got := HasHome(strings.Fields(env)); got != want {
			t.Errorf("%q: got %t", env, got)
		}
	}
}

func TestCandidates(t *testing.T) {
	tests := []struct{ name, env, want string }{
		{"sh", "PATH=/usr/bin:/bin", "/usr/bin/sh /bin/sh"},
		{"sh", "PATH=/usr/bin/", "/usr/bin/sh"},
		{"sh", "PATH=/", "/sh"},
		{"sh", "PATH=", "./sh"},
		{"sh", "PATH=:/bin:", "./sh /bin/sh ./sh"},
		{"sh", "PATH=rel", "rel/sh"},
		{"sh", "A=1", "/bin/sh /usr/bin/sh"},
		{"sh", "PATH=/a PATH=/b", "/b/sh"},
		{"/bin/sh", "PATH=/usr/bin", "/bin/sh"},
		{"./sh", "PATH=/usr/bin", "./sh"},
		{"a/b", "PATH=/usr/bin", "a/b"},
		{"", "PATH=/usr/bin:/bin", ""},
	}
	for _, test := range tests {
		if got := strings.Join(Candidates(test.name, strings.Fields(test.env)), " "); got != test.want {
			t.Errorf("%q with %s: got %q, want %q", test.name, test.env, got, test.want)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, name := range strings.Fields("AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK") {
		p := &specs.Process{Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_" + name, Soft: 5, Hard: 7}}}
		expect(t, lines(t, func(b *plan.Builder) {
			if err := Limits(b, p); err != nil {
				t.Error(err)
			}
		}), "prlimit64(0, RLIMIT_"+name+", {rlim_cur=5, rlim_max=7}, NULL)")
	}
	for _, name := range []string{"", "RLIMIT_", "NOFILE", "RLIMIT_OPEN", "rlimit_nofile"} {
		err := Limits(plan.NewBuilder(3), &specs.Process{Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CPU"}, {Type: name}}})
		var e *fault.Error
		if !errors.As(err, &e) || e.Place != "process.rlimits[1].type" {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPersonality(t *testing.T) {
	expect(t, lines(t, func(b *plan.Builder) { Personality(b, nil) }))
	expect(t, lines(t, func(b *plan.Builder) { Personality(b, &specs.LinuxPersonality{Domain: specs.PerLinux}) }), "personality(PER_LINUX)")
	expect(t, lines(t, func(b *plan.Builder) { Personality(b, &specs.LinuxPersonality{Domain: specs.PerLinux32}) }), "personality(PER_LINUX32)")
}

func TestOOMScore(t *testing.T) {
	const open = `$oom = openat2(AT_FDCWD, "/proc/self/oom_score_adj", {flags=O_WRONLY|O_CLOEXEC, resolve=0}, 24)`
	const capable = 1 << unix.CAP_SYS_RESOURCE
	tests := []struct {
		score, current int
		capabilities   uint64
		initial        bool
		write          string
		warns          bool
	}{
		{500, 100, 0, true, `write($oom, "500", 3)`, false},
		{100, 100, 0, true, `write($oom, "100", 3)`, false},
		{-5, 100, 0, true, `write($oom, "-5", 2)  // EACCES`, true},
		{-5, 0, capable, true, `write($oom, "-5", 2)  // EACCES`, false},
		{-5, 0, capable, false, `write($oom, "-5", 2)  // EACCES`, true},
	}
	for _, test := range tests {
		p := &specs.Process{OOMScoreAdj: &test.score}
		expect(t, lines(t, func(b *plan.Builder) { OOMScoreAdj(b, p, test.current) }), open, test.write, "close($oom)")
		facts := &host.Facts{Process: host.Process{OOMScoreAdj: &test.current, Capabilities: test.capabilities},
			UserNamespace: host.UserNamespace{Initial: test.initial}}
		if got := LowersOOMScore(p, facts); got != test.warns {
			t.Errorf("%d from %d: worth a warning: %t", test.score, test.current, got)
		}
	}
	expect(t, lines(t, func(b *plan.Builder) { OOMScoreAdj(b, &specs.Process{}, 0) }))
	if LowersOOMScore(&specs.Process{}, &host.Facts{}) {
		t.Error("no score at all is worth a warning")
	}
}

func TestCapabilitySets(t *testing.T) {
	list := func(names ...string) []string { return names }
	tests := []struct {
		name string
		caps *specs.LinuxCapabilities
		want sets
	}{
		{"none", nil, sets{}},
		{"empty", &specs.LinuxCapabilities{}, sets{}},
		{"all five", &specs.LinuxCapabilities{Bounding: list("CAP_CHOWN", "CAP_KILL"), Effective: list("CAP_KILL"),
			Permitted: list("CAP_KILL", "CAP_CHOWN"), Inheritable: list("CAP_CHOWN"), Ambient: list("CAP_CHOWN")},
			sets{bounding: 33, effective: 32, permitted: 33, inheritable: 1, ambient: 1}},
		{"ambient only where permitted and inheritable", &specs.LinuxCapabilities{Permitted: list("CAP_CHOWN", "CAP_KILL"),
			Bounding: list("CAP_FOWNER", "CAP_KILL"), Inheritable: list("CAP_FOWNER", "CAP_KILL"), Ambient: list("CAP_CHOWN", "CAP_FOWNER", "CAP_KILL")},
			sets{bounding: 40, permitted: 33, inheritable: 40, ambient: 32, notRaised: 9}},
		{"effective only where permitted, inheritable only where bounding", &specs.LinuxCapabilities{Permitted: list("CAP_CHOWN"),
			Effective: list("CAP_CHOWN", "CAP_KILL"), Inheritable: list("CAP_FOWNER")}, sets{permitted: 1, effective: 1, refused: 40}},
		{"what the caller lacks", &specs.LinuxCapabilities{Bounding: list("CAP_CHOWN", "CAP_FSETID"), Permitted: list("CAP_CHOWN", "CAP_FSETID"),
			Effective: list("CAP_CHOWN", "CAP_FSETID"), Inheritable: list("CAP_CHOWN", "CAP_FSETID"), Ambient: list("CAP_FSETID")},
			sets{bounding: 17, permitted: 1, effective: 1, inheritable: 1, refused: 16, notRaised: 16}},
		{"beyond the kernel's last", &specs.LinuxCapabilities{Bounding: list("CAP_KILL", "CAP_SETGID")}, sets{bounding: 32, unknown: list("CAP_SETGID")}},
		{"unknown, once", &specs.LinuxCapabilities{Bounding: list("CAP_X", "KILL"), Ambient: list("CAP_X")}, sets{unknown: list("CAP_X", "KILL")}},
	}
	for _, test := range tests {
		c := Credentials{Process: &specs.Process{Capabilities: test.caps}, Lacking: 1 << unix.CAP_FSETID,
			Facts: &host.Facts{Kernel: host.Kernel{LastCapability: unix.CAP_KILL}}}
		if got := c.capabilitySets(); !reflect.DeepEqual(*got, test.want) {
			t.Errorf("%s: got %+v, want %+v", test.name, *got, test.want)
		}
	}
}
