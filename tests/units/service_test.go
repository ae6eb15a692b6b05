package units

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
)

// A program that knows nothing of systemd is started when it runs, lies in the unit's
// cgroup, and ends at once.
func TestStartAndStop(t *testing.T) {
	guest.Need(t)
	u := newUnit(t)
	u.shell("exec sleep 86401")
	u.start()
	u.want("ActiveState=active", "SubState=running", "Type=notify", "Delegate=yes", "Result=success")
	out := guest.Must(t, guest.Homerun(t), "ps", "--format", "json", u.name)
	pids := strings.FieldsFunc(out, func(r rune) bool { return r < '0' || r > '9' }) // homerun's init is one of them
	pid := pids[len(pids)-1]
	cgroup, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil || !strings.Contains(string(cgroup), u.show("ControlGroup")+"/homerun-"+u.name+"/") {
		t.Errorf("the program is in %s, %v", cgroup, err)
	}
	begun := time.Now()
	if out, err := u.systemctl("stop"); err != nil {
		t.Errorf("stop: %v: %s", err, out)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("stop took %v", took)
	}
	u.want("ActiveState=inactive", "Result=success")
	u.gone("sleep 86401")
}

// A program that cannot be started is a start that fails.
func TestStartFails(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	u.generate(".service", "--rootfs", "/", "--net", "none", "--", "/no/such/program")
	if out, err := u.systemctl("start"); err == nil {
		t.Errorf("started: %s", out)
	}
	u.want("ActiveState=failed", "Result=exit-code")
	u.gone("/no/such/program")
}

// A program that says itself when it is ready is awaited, and what it says is shown.
func TestReadyByProgram(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	u.shell("sleep 2; systemd-notify --ready --status=serving; exec sleep 86402", "--sdnotify", "container")
	begun := time.Now()
	u.start()
	if took := time.Since(begun); took < 2*time.Second {
		t.Errorf("the start took %v", took)
	}
	u.want("ActiveState=active", "StatusText=serving")
}

// Who does not want any of that gets neither the socket nor a wait.
func TestReadyIgnored(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	dir, flags := scratch(t)
	u.shell(`echo "<$NOTIFY_SOCKET>" >/mnt/out; exec sleep 86403`, append(flags, "--sdnotify", "ignore")...)
	u.start()
	u.want("ActiveState=active", "Type=exec")
	if !within(5*time.Second, func() bool { return text(dir, "out") == "<>\n" }) {
		t.Errorf("the program says %q", text(dir, "out"))
	}
}

// Stop leaves a program time, and then ends all of it.
func TestStopTimeout(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	u.shell("trap '' TERM; (trap '' TERM; sleep 86404) & while :; do sleep 0.1; done", "--stop-timeout", "1")
	u.start()
	begun := time.Now()
	if out, err := u.systemctl("stop"); err != nil {
		t.Errorf("stop: %v: %s", err, out)
	}
	if took := time.Since(begun); took < time.Second || took > 5*time.Second {
		t.Errorf("stop took %v", took)
	}
	u.want("ActiveState=failed", "Result=timeout")
	if out, err := guest.Answer("pgrep", "-f", "sleep 86404"); err == nil {
		t.Errorf("left running: %s", out)
	}
	u.start() // with what the killed one has left
	u.want("ActiveState=active")
}

// Another signal asks the program to end.
func TestStopSignal(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	u.shell("trap 'exit 0' USR1; trap '' TERM; systemd-notify --ready; while :; do sleep 0.1; done", "--stop-signal", "USR1", "--sdnotify", "container")
	u.start()
	if out, err := u.systemctl("stop"); err != nil {
		t.Errorf("stop: %v: %s", err, out)
	}
	u.want("ActiveState=inactive", "Result=success", "ExecMainStatus=0")
}

// Reload sends the program a signal. It does not end one that is process 1, and has no
// use for it.
func TestReload(t *testing.T) {
	guest.NeedUser(t)
	for name, c := range map[string]struct{ script, flag, want string }{
		"HUP":    {"trap 'echo reloaded >/mnt/out' HUP; systemd-notify --ready; while :; do sleep 0.1; done", "", "reloaded\n"},
		"USR2":   {"trap 'echo reloaded >/mnt/out' USR2; systemd-notify --ready; while :; do sleep 0.1; done", "--reload=USR2", "reloaded\n"},
		"no use": {"systemd-notify --ready; exec sleep 86405", "--init=false", ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUnit(t)
			dir, flags := scratch(t)
			flags = append(flags, "--sdnotify", "container")
			if c.flag != "" {
				flags = append(flags, c.flag)
			}
			u.shell(c.script, flags...)
			u.start()
			if out, err := u.systemctl("reload"); err != nil {
				t.Fatalf("reload: %v: %s", err, out)
			}
			if !within(3*time.Second, func() bool { return text(dir, "out") == c.want }) {
				t.Errorf("%q\n%s", text(dir, "out"), u.status())
			}
			u.want("ActiveState=active", "NRestarts=0")
		})
	}
}

// A failure is what starts it again, or not.
func TestRestart(t *testing.T) {
	guest.NeedUser(t)
	const script = "echo x >>/mnt/out; test $(wc -l </mnt/out) = 1 && exit %; exec sleep 86406"
	for name, c := range map[string]struct{ policy, status, state, restarts string }{
		"no":             {"no", "3", "failed", "0"},
		"on failure":     {"on-failure", "3", "active", "1"},
		"on failure, ok": {"on-failure", "0", "inactive", "0"},
		"always":         {"always", "0", "active", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUnit(t)
			_, flags := scratch(t)
			u.shell(strings.ReplaceAll(script, "%", c.status), append(flags, "--restart", c.policy)...)
			_, _ = u.systemctl("start")
			u.becomes("NRestarts", c.restarts)
			u.becomes("ActiveState", c.state)
		})
	}
}

// A program that says nothing for too long is ended and counts as hung; one that does
// lives on.
func TestWatchdog(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	dir, flags := scratch(t)
	u.shell(`echo "$WATCHDOG_USEC $WATCHDOG_PID $$" >/mnt/out; systemd-notify --ready
		for i in 1 2 3 4 5 6 7 8 9 10; do systemd-notify WATCHDOG=1; sleep 0.5; done; echo silent >>/mnt/out; exec sleep 86407`, append(flags, "--watchdog", "2")...)
	u.start()
	if got := text(dir, "out"); got != "2000000 2 2\n" {
		t.Errorf("the program finds %q", got)
	}
	if !within(10*time.Second, func() bool { return strings.HasSuffix(text(dir, "out"), "silent\n") }) {
		t.Fatalf("it did not live: %q\n%s", text(dir, "out"), u.status())
	}
	u.want("ActiveState=active")
	u.becomes("ActiveState", "failed")
	u.want("Result=watchdog")
	u.gone("sleep 86407")
}

// Homerun's sudden end is the container's, and no obstacle to the next start.
func TestKilled(t *testing.T) {
	guest.NeedUser(t)
	for name, c := range map[string]struct{ policy, state string }{"no": {"no", "failed"}, "restart": {"on-failure", "active"}} {
		t.Run(name, func(t *testing.T) {
			u := newUnit(t)
			u.shell("exec sleep 86408", "--restart", c.policy)
			u.start()
			guest.Must(t, "kill", "-KILL", u.show("MainPID"))
			if c.state == "failed" {
				u.becomes("ActiveState", "failed")
				u.want("Result=signal")
				if out, err := guest.Answer("pgrep", "-f", "sleep 86408"); err == nil {
					t.Errorf("left running: %s", out)
				}
				u.start()
				return
			}
			u.becomes("NRestarts", "1")
			u.becomes("ActiveState", "active")
			if out := guest.Must(t, "pgrep", "-fxc", "sleep 86408"); out != "1" {
				t.Errorf("%s of them run", out)
			}
		})
	}
}

// A signal to the main process reaches the program, and what kills all of the unit leaves
// nothing.
func TestKill(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	dir, flags := scratch(t)
	u.shell("trap 'echo USR1 >/mnt/out' USR1; systemd-notify --ready; while :; do sleep 0.1; done # 86413", append(flags, "--sdnotify", "container")...)
	u.start()
	if out, err := u.systemctl("kill", "--kill-whom=main", "--signal=USR1"); err != nil {
		t.Fatalf("kill: %v: %s", err, out)
	}
	if !within(3*time.Second, func() bool { return text(dir, "out") == "USR1\n" }) {
		t.Errorf("%q\n%s", text(dir, "out"), u.status())
	}
	u.want("ActiveState=active")
	if out, err := u.systemctl("freeze"); err != nil {
		t.Errorf("freeze: %v: %s", err, out)
	}
	u.want("FreezerState=frozen")
	if out, err := u.systemctl("thaw"); err != nil {
		t.Errorf("thaw: %v: %s", err, out)
	}
	if out, err := u.systemctl("kill", "--signal=KILL"); err != nil {
		t.Fatalf("kill: %v: %s", err, out)
	}
	u.becomes("ActiveState", "failed")
	u.want("Result=signal")
	if out, err := guest.Answer("pgrep", "-f", "86413"); err == nil {
		t.Errorf("left running: %s", out)
	}
}

// The machine's own manager has the same units, for root.
func TestRootsUnit(t *testing.T) {
	guest.Need(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	u := newUnit(t)
	u.generate(".service", "--rootfs", "/", "--net", "none", "--", "sleep", "86414")
	u.start()
	u.want("ActiveState=active", "Wants=network-online.target")
	if out, err := u.systemctl("stop"); err != nil {
		t.Errorf("stop: %v: %s", err, out)
	}
	u.want("ActiveState=inactive")
	u.gone("sleep 86414")
}
