package bpf

import "testing"

func TestAllows(t *testing.T) {
	allow, refuse := Instruction{Op: RetK, K: Allow | 5}, Instruction{Op: RetK, K: Errno | 1}
	number := Instruction{Op: LdW, K: OffsetNR}
	for name, c := range map[string]struct {
		program []Instruction
		want    bool
	}{
		"all":                    {[]Instruction{allow}, true},
		"none":                   {[]Instruction{refuse}, false},
		"logged":                 {[]Instruction{{Op: RetK, K: Log}}, false},
		"these":                  {[]Instruction{number, {Op: JeqK, K: 20, JT: 1}, {Op: JgtK, K: 9, JF: 1}, allow, refuse}, true},
		"one of them":            {[]Instruction{number, {Op: JeqK, K: 20, JF: 1}, allow, refuse}, false},
		"neither":                {[]Instruction{number, {Op: JgeK, K: 11, JT: 1}, allow, refuse}, false},
		"of this architecture":   {[]Instruction{{Op: LdW, K: OffsetArch}, {Op: JeqK, K: AuditX86_64, JF: 1}, allow, refuse}, true},
		"of another":             {[]Instruction{{Op: LdW, K: OffsetArch}, {Op: JeqK, K: AuditX86_64, JT: 1}, allow, refuse}, false},
		"by an argument":         {[]Instruction{{Op: LdW, K: OffsetArgs}, {Op: JeqK, K: 1}, allow}, false},
		"by an argument, unused": {[]Instruction{{Op: LdW, K: OffsetArgs}, allow}, true},
		"by less or more":        {[]Instruction{number, {Op: JgeK, K: 21, JT: 1}, allow, refuse}, true},
		"before a load":          {[]Instruction{{Op: JeqK, K: 0, JF: 1}, allow, refuse}, true},
		"by a constant":          {[]Instruction{{Op: LdImm, K: 3}, {Op: JeqK, K: 3, JF: 1}, allow, refuse}, true},
		"by bits":                {[]Instruction{number, {Op: JsetK, K: 0x40000000, JT: 1}, allow, refuse}, true},
		"after a jump":           {[]Instruction{{Op: Ja, K: 1}, refuse, allow}, true},
		"computed":               {[]Instruction{number, {Op: Alu | AluAnd, K: 1}, allow}, false},
		"without an end":         {[]Instruction{number}, false},
		"far":                    {[]Instruction{{Op: Ja, K: 1 << 31}, allow}, false},
	} {
		if got := Allows(Bytes(c.program), AuditX86_64, 10, 20); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
	if !Allows(Bytes(Only(AuditX86_64, 10, 20)), AuditX86_64, 20, 10) || Allows(Bytes(Only(AuditX86_64, 10)), AuditX86_64, 20) {
		t.Error("Only is not understood")
	}
	if Allows(nil, AuditX86_64, 1) || Allows(make([]byte, 7), AuditX86_64, 1) {
		t.Error("what is no program allows something")
	}
}
