package seccomp

import "testing"

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
