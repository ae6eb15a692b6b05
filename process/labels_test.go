package process

import (
	"errors"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// listing prints what write adds to a plan, without the ends that Check wants.
func listing(t *testing.T, write func(b *plan.Builder) error) ([]string, error) {
	t.Helper()
	b := plan.NewBuilder(3)
	b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE})
	if err := write(b); err != nil {
		return nil, err
	}
	b.Do(plan.ExitGroup{})
	p, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := 1; i < p.Len()-1; i++ {
		lines = append(lines, p.Line(i))
	}
	return lines, nil
}

// checkText looks for want in the plan, or if there is none in the error.
func checkText(t *testing.T, lines []string, err error, want string) {
	t.Helper()
	got := strings.Join(lines, "\n")
	if err != nil {
		got = err.Error()
		if e := new(fault.Error); !errors.As(err, &e) {
			t.Errorf("a %T", err)
		}
	}
	if !strings.Contains(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestLabels(t *testing.T) {
	both := host.LSM{AppArmor: host.Yes, SELinux: host.Yes}
	for _, c := range []struct {
		name string
		p    specs.Process
		lsm  host.LSM
		want string
	}{
		{"apparmor", specs.Process{ApparmorProfile: "web"}, both, `write($attr, "exec web", 8)`},
		{"apparmor file", specs.Process{ApparmorProfile: "web"}, both, `openat2($procfs, "self/attr/apparmor/exec"`},
		{"older kernel", specs.Process{ApparmorProfile: "web"}, both, `openat2($procfs, "self/attr/exec"`},
		{"selinux", specs.Process{SelinuxLabel: "a:b:c:s0"}, both, `write($attr, "a:b:c:s0", 8)`},
		{"no apparmor", specs.Process{ApparmorProfile: "web"}, host.LSM{}, "(process.apparmorProfile): AppArmor is not enabled"},
		{"not quite unconfined", specs.Process{ApparmorProfile: "unconfined_foo"}, host.LSM{}, "(process.apparmorProfile): AppArmor is not"},
		{"unconfined", specs.Process{ApparmorProfile: "unconfined"}, host.LSM{}, ""},
		{"no selinux", specs.Process{SelinuxLabel: "x"}, host.LSM{AppArmor: host.Yes}, "(process.selinuxLabel): SELinux is not enabled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, err := listing(t, func(b *plan.Builder) error {
				labeled, err := Labeled(&c.p, c.lsm)
				if labeled {
					Labels(b, OpenProc(b), &c.p, c.lsm)
				}
				return err
			})
			checkText(t, lines, err, c.want)
			if c.want == "" && len(lines) > 0 {
				t.Errorf("wrote %q", lines)
			}
		})
	}
}

func TestOOMScoreAdj(t *testing.T) {
	score := -500
	p := &specs.Process{OOMScoreAdj: &score}
	for current, want := range map[int]string{0: `write($oom, "-500", 4)  // EACCES`, -500: `write($oom, "-500", 4)`} {
		lines, _ := listing(t, func(b *plan.Builder) error { OOMScoreAdj(b, p, current); return nil })
		if len(lines) != 3 || lines[1] != want {
			t.Errorf("from %d: %q", current, lines)
		}
	}
	root := &host.Facts{UserNamespace: host.UserNamespace{Initial: true}, Process: host.Process{Capabilities: 1 << unix.CAP_SYS_RESOURCE}}
	if LowersOOMScore(p, root) || !LowersOOMScore(p, &host.Facts{}) {
		t.Error("who may lower the score")
	}
}

func TestStreams(t *testing.T) {
	lines, _ := listing(t, func(b *plan.Builder) error {
		Streams(b, []host.Stream{{}, {Give: true}, {Give: true}}, 1000)
		return nil
	})
	const rest = ", 1000, -1)  // EPERM, EROFS, EINVAL, ENOSYS"
	if got := strings.Join(lines, "\n"); got != "fchown(1"+rest+"\nfchown(2"+rest {
		t.Errorf("got\n%s", got)
	}
}
