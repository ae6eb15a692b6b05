package units

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
)

// kind is a way to run homerun that docs/units.md has a row for.
type kind struct {
	name, service string
	// main is what systemd takes for the main process; empty for none.
	main string
	// restart is what has systemd start again a program that fails; empty for nothing.
	restart string
}

func kinds() []kind {
	const create, clear, pidFile = "-b BUNDLE NAME\n", "ExecStop=-HOMERUN stop NAME\nExecStopPost=HOMERUN delete --force NAME\n", "Type=forking\nPIDFile=%t/NAME.pid\n"
	return []kind{
		{"notify, run", "Type=notify\nNotifyAccess=main\nExecStart=HOMERUN run --sdnotify=start " + create, "homerun", "on-failure"},
		{"exec, run", "Type=exec\nExecStart=HOMERUN run " + create, "homerun", "on-failure"},
		{"simple, run", "Type=simple\nExecStart=HOMERUN run " + create, "homerun", "on-failure"},
		{"notify, run -d", "Type=notify\nNotifyAccess=main\nExecStart=HOMERUN run -d --sdnotify=start " + create + clear, "sh", "always"},
		{"forking, run -d", pidFile + "ExecStart=HOMERUN run -d --pid-file %t/NAME.pid " + create + clear, "sh", "always"},
		{"forking, create and start", pidFile + "ExecStart=HOMERUN create --pid-file %t/NAME.pid " + create + "ExecStartPost=HOMERUN start NAME\n" + clear, "sh", "always"},
		{"oneshot, run -d", "Type=oneshot\nRemainAfterExit=yes\nExecStart=HOMERUN run -d " + create + clear, "", ""},
	}
}

// install writes the unit's file, as docs/units.md has it.
func (k kind) install(u *unit, bundle, more string) {
	u.t.Helper()
	text := "[Service]\nDelegate=yes\nKillMode=mixed\nTimeoutStopSec=5\nSuccessExitStatus=143\n" + more + k.service
	u.write(".service", strings.NewReplacer("HOMERUN", guest.Homerun(u.t), "BUNDLE", bundle, "NAME", u.name).Replace(text))
}

// Each way to run homerun in a unit does what its row of the table in docs/units.md
// says: the unit has the program for its main process, or homerun, or none; it knows
// all of the container's processes; and its stop lets the program end by itself.
func TestTypes(t *testing.T) {
	guest.NeedUser(t)
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			u := newUnit(t)
			b := bundle(t, object{}, "sh", "-c", "trap 'echo ended >/out; exit 0' TERM; echo runs >/out; while :; do sleep 0.1; done")
			k.install(u, b, "")
			u.start()
			u.want("ActiveState=active")
			name, _ := os.ReadFile("/proc/" + u.show("MainPID") + "/comm")
			if got := strings.TrimSpace(string(name)); got != k.main {
				t.Errorf("the main process is %q, want %q\n%s", got, k.main, u.status())
			}
			if !within(5*time.Second, func() bool { return text(b, "rootfs/out") == "runs\n" }) {
				t.Fatalf("it does not run\n%s", u.status())
			}
			if out := u.status(); !strings.Contains(out, "echo runs") {
				t.Errorf("not in the unit: %s", out)
			}
			if out, err := u.systemctl("stop"); err != nil {
				t.Errorf("stop: %v: %s", err, out)
			}
			u.want("ActiveState=inactive")
			if got := text(b, "rootfs/out"); got != "ended\n" {
				t.Errorf("the program was killed: %q", got)
			}
			u.gone("echo runs")
		})
	}
}

// A program that fails is started again, as its row says.
func TestTypesRestart(t *testing.T) {
	guest.NeedUser(t)
	b := bundle(t, object{}, "sh", "-c", "sleep 1; exit 3")
	for _, k := range kinds() {
		if k.restart == "" {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			u := newUnit(t)
			k.install(u, b, "Restart="+k.restart+"\n")
			u.start()
			if !within(10*time.Second, func() bool { return u.show("NRestarts") != "0" && u.show("ActiveState") == "active" }) {
				t.Errorf("it was not started again\n%s", u.status())
			}
		})
	}
}
