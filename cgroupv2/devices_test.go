package cgroupv2

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// interpret runs a program as the kernel would; it knows what the assembler
// emits, and says so when it does not end.
func interpret(t testing.TB, code []Instruction, kind, access, major, minor uint32) bool {
	t.Helper()
	context := []uint32{access<<16 | kind, major, minor}
	var r [6]uint64
	for at := 0; at < len(code); at++ {
		i := code[at]
		switch i.Op {
		case loadWord:
			r[i.Dst] = uint64(context[i.Offset/4])
		case moveReg:
			r[i.Dst] = r[i.Src]
		case moveImm:
			r[i.Dst] = uint64(int64(i.Imm))
		case andImm:
			r[i.Dst] &= uint64(int64(i.Imm))
		case shiftImm:
			r[i.Dst] >>= uint64(i.Imm)
		case jumpEqual:
			if r[i.Dst] == uint64(int64(i.Imm)) {
				at += int(i.Offset)
			}
		case jumpOther:
			if r[i.Dst] != uint64(int64(i.Imm)) {
				at += int(i.Offset)
			}
		case exit:
			return r[regResult] == 1
		default:
			t.Fatalf("instruction %d: unknown operation %#x", at, i.Op)
		}
	}
	t.Fatal("the program ran off its end")
	return false
}

// permits is the meaning of the rules, said plainly: each asked access is
// decided by the last rule that names it and the device.
func permits(rules []DeviceRule, kind, access, major, minor uint32) bool {
	for _, bit := range []uint32{AccessMknod, AccessRead, AccessWrite} {
		if access&bit == 0 {
			continue
		}
		allowed := false
		for _, r := range rules {
			sameType := r.Type == 'a' || r.Type == 'b' && kind == typeBlock || r.Type == 'c' && kind == typeChar
			sameNumbers := (r.Major == wildcard || uint32(r.Major) == major) && (r.Minor == wildcard || uint32(r.Minor) == minor)
			if sameType && sameNumbers && r.Access&bit != 0 {
				allowed = r.Allow
			}
		}
		if !allowed {
			return false
		}
	}
	return true
}

func TestDeviceProgram(t *testing.T) {
	p := func(n int64) *int64 { return &n }
	deny := specs.LinuxDeviceCgroup{Allow: false, Access: "rwm"}
	rw := uint32(AccessRead | AccessWrite)
	tests := []struct {
		name                       string
		devices                    []specs.LinuxDeviceCgroup
		kind, access, major, minor uint32
		want                       bool
	}{
		{"null by default", nil, typeChar, rw, 1, 3, true},
		{"kmsg not by default", nil, typeChar, AccessRead, 1, 11, false},
		{"mknod of anything", nil, typeBlock, AccessMknod, 8, 0, true},
		{"mknod and read", nil, typeBlock, AccessMknod | AccessRead, 8, 0, false},
		{"pts", nil, typeChar, rw, 136, 42, true},
		{"block 1:3 is not null", nil, typeBlock, rw, 1, 3, false},
		{"defaults survive deny all", []specs.LinuxDeviceCgroup{deny}, typeChar, rw, 5, 2, true},
		{"deny all", []specs.LinuxDeviceCgroup{deny}, typeBlock, AccessRead, 8, 0, false},
		{"privileged", []specs.LinuxDeviceCgroup{deny, {Allow: true, Access: "rwm"}}, typeBlock, 7, 8, 0, true},
		{"allow, then deny all", []specs.LinuxDeviceCgroup{{Allow: true, Type: "b", Major: p(8), Minor: p(0)}, deny}, typeBlock, AccessRead, 8, 0, false},
		{"last match wins", []specs.LinuxDeviceCgroup{{Allow: true, Type: "b", Major: p(8)}, {Allow: false, Type: "b", Major: p(8), Minor: p(1)}}, typeBlock, AccessRead, 8, 1, false},
		{"beside it", []specs.LinuxDeviceCgroup{{Allow: true, Type: "b", Major: p(8)}, {Allow: false, Type: "b", Major: p(8), Minor: p(1)}}, typeBlock, AccessRead, 8, 2, true},
		{"two halves", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: p(10), Minor: p(229), Access: "r"}, {Allow: true, Type: "c", Major: p(10), Minor: p(229), Access: "w"}}, typeChar, rw, 10, 229, true},
		{"one half", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: p(10), Minor: p(229), Access: "r"}}, typeChar, rw, 10, 229, false},
		{"denied writing leaves reading", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: p(10), Minor: p(229)}, {Type: "c", Major: p(10), Minor: p(229), Access: "w"}}, typeChar, AccessRead, 10, 229, true},
		{"wildcard minus one", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: p(-1), Minor: p(7)}}, typeChar, rw, 33, 7, true},
		{"a letter that is none", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: p(33), Access: "rwa"}}, typeChar, rw, 33, 7, true},
		{"a letter that is none is not all", []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: p(33), Access: "a"}}, typeChar, AccessRead, 33, 7, false},
		{"u is c", []specs.LinuxDeviceCgroup{{Allow: true, Type: "u", Major: p(33)}}, typeChar, rw, 33, 7, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := DeviceRules(tt.devices)
			if err != nil {
				t.Fatal(err)
			}
			if got := interpret(t, DeviceProgram(rules), tt.kind, tt.access, tt.major, tt.minor); got != tt.want {
				t.Errorf("program says %v", got)
			}
			if got := permits(rules, tt.kind, tt.access, tt.major, tt.minor); got != tt.want {
				t.Errorf("rules say %v", got)
			}
		})
	}
}

// Random rules: the program must agree with what the rules mean.
func TestDeviceProgramDifferential(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		rules := make([]DeviceRule, random.IntN(6))
		for i := range rules {
			rules[i] = DeviceRule{random.IntN(2) == 0, "abc"[random.IntN(3)], random.Int64N(4) - 1, random.Int64N(4) - 1, random.Uint32N(8)}
		}
		code := DeviceProgram(rules)
		for range 30 {
			kind, access, major, minor := 1+random.Uint32N(2), 1+random.Uint32N(7), random.Uint32N(3), random.Uint32N(3)
			if interpret(t, code, kind, access, major, minor) != permits(rules, kind, access, major, minor) {
				t.Fatalf("rules %+v disagree on type %d access %d device %d:%d", rules, kind, access, major, minor)
			}
		}
	}
}

func TestDeviceRulesErrors(t *testing.T) {
	big := int64(1 << 40)
	tests := []struct {
		device specs.LinuxDeviceCgroup
		want   string
	}{
		{specs.LinuxDeviceCgroup{Type: "x"}, `config.json: linux.resources.devices[0]: type "x" is none of a, b, c, u`},
		{specs.LinuxDeviceCgroup{Type: "c", Major: &big}, `config.json: linux.resources.devices[0]: device 1099511627776:-1 is out of range`},
	}
	for _, tt := range tests {
		if _, err := DeviceRules([]specs.LinuxDeviceCgroup{tt.device}); fmt.Sprint(err) != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestEncode(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Log("big endian: only the length is checked")
		return
	}
	got := fmt.Sprintf("%x", Encode([]Instruction{{Op: moveReg, Dst: 3, Src: 2}, {Op: jumpOther, Dst: 3, Offset: -1, Imm: -2}}))
	if want := "bf23000000000000" + "5503fffffeffffff"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
