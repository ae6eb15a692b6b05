package compiler

import (
	"slices"
	"testing"

	"github.com/homerun-oci/homerun/seccomp"
)

func TestSupportedFlags(t *testing.T) {
	got := SupportedFlags()
	// Linux 5.14, the oldest that homerun runs on, has these.
	for _, want := range []string{"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"} {
		if !slices.Contains(got, want) {
			t.Errorf("%v lacks %s", got, want)
		}
	}
}

// TestSupportedArchitectures: what is told can be asked for, and nothing else.
func TestSupportedArchitectures(t *testing.T) {
	told, err := SupportedArchitectures(helper(t))
	if err != nil || !slices.Contains(told, "SCMP_ARCH_X86_64") || !slices.Contains(told, "SCMP_ARCH_AARCH64") || slices.Contains(told, "SCMP_ARCH_S390X") {
		t.Fatalf("%q, %v", told, err)
	}
	for _, arch := range seccomp.Architectures() {
		raw := `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["` + arch + `"],"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]}`
		_, _, err := Load(t.Context(), []byte(raw), Options{HelperPath: helper(t)})
		if works := err == nil; works != slices.Contains(told, arch) {
			t.Errorf("%s: told %t, but %v", arch, !works, err)
		}
	}
	if _, err := SupportedArchitectures("/bin/echo"); err == nil {
		t.Error("any program is a helper")
	}
}
