package container

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestUnitVariables: what a service manager says to this process counts, and what it has
// said to one that left it in the environment does not.
func TestUnitVariables(t *testing.T) {
	own, other := strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getppid())
	for name, test := range map[string]struct {
		env      map[string]string
		watchdog string
		ofUnit   bool
	}{
		"none":            {map[string]string{}, "", false},
		"a watchdog":      {map[string]string{"WATCHDOG_USEC": "5", "WATCHDOG_PID": own}, "5", false},
		"for whoever":     {map[string]string{"WATCHDOG_USEC": "5"}, "5", false},
		"for another":     {map[string]string{"WATCHDOG_USEC": "5", "WATCHDOG_PID": other, "SYSTEMD_EXEC_PID": other}, "", false},
		"a unit's":        {map[string]string{"SYSTEMD_EXEC_PID": own}, "", true},
		"of no watchdog ": {map[string]string{"WATCHDOG_PID": own}, "", false},
	} {
		o := DefaultOptions(func(name string) string { return test.env[name] })
		if o.Watchdog != test.watchdog || o.OfUnit != test.ofUnit {
			t.Errorf("%s: %q, %v", name, o.Watchdog, o.OfUnit)
		}
	}
}

// TestWatchdogPassedOn: to a program that the runtime stays with, and as long as nobody
// else has said something of it. It is meant as process 1 where it is that.
func TestWatchdogPassedOn(t *testing.T) {
	_, live := listenManager(t)
	for name, test := range map[string]struct {
		ready      Ready
		wishes     compile.Wishes
		env        []string
		namespaces []specs.LinuxNamespace
		want       string
	}{
		"a program":         {"", compile.Wishes{}, nil, []specs.LinuxNamespace{{Type: specs.PIDNamespace}}, "[WATCHDOG_USEC=7 WATCHDOG_PID=1]"},
		"beside a reaper":   {"", compile.Wishes{Reaper: true}, nil, []specs.LinuxNamespace{{Type: specs.PIDNamespace}}, "[WATCHDOG_USEC=7 WATCHDOG_PID=2]"},
		"no PID namespace":  {ReadyByProgram, compile.Wishes{}, nil, nil, "[WATCHDOG_USEC=7]"},
		"another's":         {"", compile.Wishes{}, nil, []specs.LinuxNamespace{{Type: specs.PIDNamespace, Path: "/proc/1/ns/pid"}}, "[WATCHDOG_USEC=7]"},
		"the config's":      {"", compile.Wishes{}, []string{"WATCHDOG_USEC=1"}, nil, "[WATCHDOG_USEC=1]"},
		"nobody stays":      {"", compile.Wishes{Detached: true}, nil, nil, "[]"},
		"create":            {"", compile.Wishes{Create: true}, nil, nil, "[]"},
		"the runtime tells": {ReadyAtStart, compile.Wishes{}, nil, nil, "[]"},
		"nobody does":       {ReadyIgnored, compile.Wishes{}, nil, nil, "[]"},
	} {
		r := &Runtime{Options{Root: t.TempDir(), NotifySocket: live, Watchdog: "7", Manager: cgroupv2.None}}
		config := &specs.Spec{Process: &specs.Process{Cwd: "/", Env: test.env},
			Linux: &specs.Linux{Namespaces: append([]specs.LinuxNamespace{{Type: specs.MountNamespace}}, test.namespaces...)}}
		everyone := []host.Mapping{{Size: 1 << 31}}
		facts := &host.Facts{UserNamespace: host.UserNamespace{Initial: true, UIDMap: everyone, GIDMap: everyone},
			Namespaces: map[string]host.Namespace{"/proc/1/ns/pid": {Type: "pid"}}}
		r.surroundings(&Request{Bundle: &bundle.Bundle{Config: config}, Facts: facts, Ready: test.ready}, &host.Needs{})
		test.wishes.ID, test.wishes.StateDir, test.wishes.Manager = "c", "/state/c", cgroupv2.None
		b, err := compile.Begin(config, facts, test.wishes)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		env := slices.DeleteFunc(slices.Clone(b.Spec().Process.Env), func(v string) bool { return !strings.HasPrefix(v, "WATCHDOG_") })
		if got := fmt.Sprint(env); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		if (test.ready == ReadyAtStart || test.ready == ReadyIgnored) == slices.ContainsFunc(b.Spec().Process.Env, func(v string) bool { return strings.HasPrefix(v, "NOTIFY_SOCKET=") }) {
			t.Errorf("%s: %q", name, b.Spec().Process.Env)
		}
	}
}

// TestReadyAtStart: the manager hears from Run; nothing where nobody is to tell it, and a
// warning where it has gone.
func TestReadyAtStart(t *testing.T) {
	manager, live := listenManager(t)
	var warned []string
	hear := func() string {
		b := make([]byte, 4096)
		_ = manager.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := manager.Read(b)
		if err != nil {
			return ""
		}
		return string(b[:n])
	}
	r := &Runtime{Options{NotifySocket: live, Warn: func(s string) { warned = append(warned, s) }}}
	p := &Process{Pid: 5, container: &Container{runtime: r}}
	for want, request := range map[string]*Request{"READY=1": {Ready: ReadyAtStart}, "READY=1\nMAINPID=5": {Ready: ReadyAtStart, Detached: true}, "": {Ready: ReadyIgnored}} {
		told := make(chan string)
		go func() {
			first := hear()
			for hear() != "" {
			}
			told <- first
		}()
		p.tellReady(request)
		if got := <-told; got != want {
			t.Errorf("%+v: told %q", request, got)
		}
	}
	r.options.NotifySocket = "/nonexistent/notify"
	p.tellReady(&Request{Ready: ReadyAtStart})
	if len(warned) != 1 || !strings.Contains(warned[0], "NOTIFY_SOCKET") {
		t.Errorf("warned %q", warned)
	}
}
