package limits

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/tests/guest"
)

// annotate gives the box org.systemd.property annotations.
func (b *box) annotate(properties map[string]string) {
	list := object{}
	for name, value := range properties {
		list["org.systemd.property."+name] = value
	}
	b.config["annotations"] = list
}

// shows compares what systemctl shows of the scope; a value that ends in " " is
// one of a list.
func (b *box) shows(when string, properties map[string]string) {
	b.t.Helper()
	text := "\n" + systemctl(b.t, "show", b.state().Scope) + "\n"
	for name, want := range properties {
		_, rest, _ := strings.Cut(text, "\n"+name+"=")
		got, _, _ := strings.Cut(rest, "\n")
		in, listed := strings.CutSuffix(want, " ")
		if listed && !slices.Contains(strings.Fields(got), in) || !listed && got != want {
			b.t.Errorf("%s: %s is %q, not %q", when, name, got, want)
		}
	}
}

// TestCRIOAnnotations: what CRI-O sets on every container reaches the scope, and
// stays there after a daemon-reload.
func TestCRIOAnnotations(t *testing.T) {
	guest.Need(t)
	b := newBox(t, "systemd", `{"memory":{"limit":67108864}}`, "sleep", "100")
	b.annotate(map[string]string{"DefaultDependencies": "true", "After": "['crio.service']", "CollectMode": "'inactive-or-failed'",
		"TimeoutStopUSec": "uint64 10000000", "KillSignal": "15"})
	b.start()
	want := map[string]string{"DefaultDependencies": "yes", "After": "crio.service ", "Conflicts": "shutdown.target", "Before": "shutdown.target",
		"CollectMode": "inactive-or-failed", "TimeoutStopUSec": "10s", "KillSignal": "15", "MemoryMax": "67108864"}
	b.shows("started", want)
	systemctl(t, "daemon-reload")
	b.shows("reloaded", want)
	b.must("delete", "--force", b.id)
}

// TestAnnotatedQuota: a period without a quota, which engines write always, does
// not decide against a quota; a quota does, -1 as well.
func TestAnnotatedQuota(t *testing.T) {
	guest.Need(t)
	for cpu, want := range map[string]string{
		`{"quota":0,"period":100000}`: "50000 100000",
		`{"period":50000}`:            "50000 100000",
		`{"quota":0}`:                 "50000 100000",
		`{"quota":-1}`:                "max 100000",
		`{"quota":20000}`:             "20000 100000",
	} {
		b := newBox(t, "systemd", `{"cpu":`+cpu+`}`, "sleep", "100")
		b.annotate(map[string]string{"CPUQuotaPerSecUSec": "uint64 500000"})
		out := b.must("create", "--log-level", "warning", "-b", b.dir, b.id)
		if said := strings.Contains(out, "linux.resources has another value"); said != (want[:6] != "50000 ") {
			t.Errorf("%s: %s", cpu, out)
		}
		if got := file(t, b.cgroup(), "cpu.max"); got != want {
			t.Errorf("%s: cpu.max is %s, not %s", cpu, got, want)
		}
		b.must("delete", "--force", b.id)
	}
}

// TestAnnotatedLimits: an annotation limits the scope and, as linux.resources
// do, the container's cgroup; what config.json has a limit for it does not lift.
func TestAnnotatedLimits(t *testing.T) {
	guest.Need(t)
	b := newBox(t, "systemd", `{"memory":{"limit":67108864},"pids":{"limit":50}}`, "sleep", "100")
	b.annotate(map[string]string{"MemoryHigh": "uint64 33554432", "MemoryMax": "uint64 134217728", "TasksMax": "uint64 18446744073709551615",
		"CPUWeight": "uint64 50", "IOWeight": "uint64 60", "CPUQuotaPerSecUSec": "uint64 500000", "MemoryMin": "uint64 4096"})
	out := b.must("create", "--log-level", "warning", "-b", b.dir, b.id)
	for _, name := range []string{"MemoryMax", "TasksMax"} {
		if !strings.Contains(out, name+`"]: ignored: linux.resources has another value`) {
			t.Errorf("no word of %s in\n%s", name, out)
		}
	}
	b.check("created", []resource{
		{"memory.high", "33554432", "MemoryHigh=33554432"},
		{"memory.max", "67108864", "MemoryMax=67108864"},
		{"memory.min", "4096", "MemoryMin=4096"},
		{"pids.max", "50", "TasksMax=50"},
		{"cpu.max", "50000 100000", "CPUQuotaPerSecUSec=500ms"},
	})
	want := map[string]string{"CPUWeight": "50", "IOWeight": "60"}
	b.shows("created", want)
	if got := file(t, path.Dir(b.cgroup()), "cpu.weight"); got != "50" {
		t.Errorf("cpu.weight is %s", got)
	}
	b.must("start", b.id)
	b.must("update", "--memory", "50331648", b.id)
	systemctl(t, "daemon-reload")
	b.check("updated and reloaded", []resource{{"memory.high", "33554432", "MemoryHigh=33554432"}, {"memory.max", "50331648", "MemoryMax=50331648"}})
	b.shows("updated and reloaded", want)
	b.must("delete", "--force", b.id)
}

// TestAnnotationsActOnNothingElse: annotations start, stop and run nothing, now
// or at the next daemon-reload, and a container that asks for it runs all the
// same. CVE-2024-3154.
func TestAnnotationsActOnNothingElse(t *testing.T) {
	guest.Need(t)
	victim := "homerun-victim-" + filepath.Base(t.TempDir()) + ".service"
	run := []string{"systemd-run", "--quiet", "--unit", victim, "sleep", "100"}
	if os.Geteuid() != 0 {
		run = slices.Insert(run, 1, "--user")
	}
	if out, err := guest.Command(callLimit, run...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { systemctl(t, "stop", victim) })
	b := newBox(t, "systemd", "", "sleep", "100")
	b.annotate(map[string]string{"Conflicts": "['" + victim + "']", "Wants": "['nosuch-a.service']", "Requires": "['nosuch-b.service']", "BindsTo": "['nosuch-c.service']",
		"OnFailure": "['nosuch-d.service']", "SuccessAction": "'reboot-force'", "FailureAction": "'reboot-force'", "ExecStartPre": "'/bin/false'",
		"Slice": "'nosuch.slice'", "Delegate": "false", "StopWhenUnneeded": "true", "Nosuch": "'x'"})
	b.start()
	want := map[string]string{"Conflicts": "", "Wants": "", "BindsTo": "", "OnFailure": "", "SuccessAction": "none", "FailureAction": "none",
		"Delegate": "yes", "StopWhenUnneeded": "no", "Description": "homerun container " + b.id + b.mark(), "ActiveState": "active"}
	b.shows("started", want)
	systemctl(t, "daemon-reload")
	b.shows("reloaded", want)
	if got := systemctl(t, "show", "-p", "ActiveState", victim); got != "ActiveState=active" {
		t.Errorf("the other unit: %s", got)
	}
	b.must("delete", "--force", b.id)
	for _, bad := range [][3]string{
		{"Description", `'x\nOnFailure=nosuch.service'`, "it has control characters"},
		{"RequiresMountsFor", `['/var\nOnFailure=nosuch.service']`, "it has control characters"},
		{"IPAddressDeny", "'any'", "an annotation cannot set this property"},
	} {
		b.annotate(map[string]string{bad[0]: bad[1]})
		if out, err := b.homerun("create", "-b", b.dir, b.id); err == nil || !strings.Contains(out, `annotations["org.systemd.property.`+bad[0]+`"]: `+bad[2]) {
			t.Errorf("%s: %v, %s", bad[0], err, out)
		}
	}
}

// mark ends the description of the scope: init, by which homerun knows its own.
func (b *box) mark() string {
	b.t.Helper()
	pid := strconv.Itoa(b.state().Pid)
	_, after, _ := strings.Cut(file(b.t, "/proc/"+pid, "stat"), ") ")
	return " (init " + pid + ", started at " + strings.Fields(after)[19] + ")"
}

// TestRefusedStop: a scope that nobody may stop by hand is deleted all the same.
func TestRefusedStop(t *testing.T) {
	guest.Need(t)
	b := newBox(t, "systemd", "", "sleep", "100")
	b.annotate(map[string]string{"RefuseManualStop": "true"})
	b.start()
	b.shows("started", map[string]string{"RefuseManualStop": "yes"})
	b.must("delete", "--force", b.id)
}
