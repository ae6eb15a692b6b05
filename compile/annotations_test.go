package compile

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/fault"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestAnnotations: what was asked for is had, or refused, or there is a warning.
// Tried: each annotation that crun 1.28 has.
func TestAnnotations(t *testing.T) {
	for name, want := range map[string]string{
		"run.oci.handler":                      `run with the handler "krun\x1b" (annotations["run.oci.handler"]): homerun has no handlers`,
		"run.oci.seccomp.plugins":              `load seccomp plugins (annotations["run.oci.seccomp.plugins"]): homerun has none`,
		"run.oci.systemd.force_cgroup_v1":      `mount a hierarchy of cgroup v1 (annotations["run.oci.systemd.force_cgroup_v1"]): `,
		"run.oci.seccomp_fail_unknown_syscall": "",
		"run.oci.keep_original_groups":         "",
		"run.oci.pidfd_receiver":               "",
		"run.oci.systemd.subgroup":             "",
		"run.oci.newer":                        `warning: annotations["run.oci.newer"]: unknown to homerun, ignored`,
		"run.oci.evil\n\x1b[2J":                `warning: annotations["run.oci.evil\n\x1b[2J"]: unknown to homerun, ignored`,
		"module.wasm.image/variant":            `warning: annotations["module.wasm.image/variant"]: unknown to homerun, ignored`,
		"org.example.run.oci.handler":          "",
	} {
		b, facts := golden{}.input(t)
		b.Config.Annotations = map[string]string{name: "krun\x1b"}
		r, err := compileAnswered(b.Config, facts, wishes())
		got := ""
		var known *fault.Error
		switch {
		case err != nil && !errors.As(err, &known):
			t.Errorf("%q: %v", name, err)
		case err != nil:
			got = err.Error()
		case len(r.Warnings) > 0:
			got = "warning: " + strings.Join(r.Warnings, "\n")
		}
		if got != want && (want == "" || known == nil || !strings.HasPrefix(got, want)) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if !slices.IsSorted(followed[:]) {
		t.Error("the table is out of order")
	}
}

// TestSeccompIsNotDropped: a Go program can ask for a filter in Config alone;
// who compiles for it must bring one.
func TestSeccompIsNotDropped(t *testing.T) {
	b, facts := golden{}.input(t)
	b.Config.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	if _, err := compileAnswered(b.Config, facts, wishes()); !errors.Is(err, errUnfiltered) {
		t.Errorf("a plan without the filter: %v", err)
	}
	filter := &Filter{Program: []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}}
	w := wishes()
	w.Seccomp = filter
	if _, err := compileAnswered(b.Config, facts, w); err != nil {
		t.Error(err)
	}
}

// TestDelegateWaits: init is moved below the root of its cgroup namespace, so the
// namespace is made between the scope and the move.
func TestDelegateWaits(t *testing.T) {
	b, facts := golden{}.input(t)
	b.Config.Linux.Namespaces = append(b.Config.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	b.Config.Annotations = map[string]string{delegateAnnotation: "inner"}
	facts.ServiceManager.Socket = "/run/user/1001/bus"
	w := wishes()
	w.Manager = cgroupv2.Systemd
	r, err := compileAnswered(b.Config, facts, w)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for i := range r.Plan.Len() {
		text += r.Plan.Step(i).What + "\n"
	}
	at := -1
	for _, step := range []string{"wait for the scope", "make the cgroup namespace", "wait for the runtime"} {
		next := strings.Index(text, step)
		if next <= at {
			t.Errorf("%q comes too early:\n%s", step, text)
		}
		at = next
	}
}
