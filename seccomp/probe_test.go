package seccomp

import (
	"slices"
	"testing"
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

func TestNamesAreTheSpecifications(t *testing.T) {
	if n := len(Actions()); n != 9 {
		t.Errorf("%d actions", n)
	}
	if n := len(Operators()); n != 7 {
		t.Errorf("%d operators", n)
	}
	if n := len(Architectures()); n != 23 {
		t.Errorf("%d architectures", n)
	}
}
