package container

import (
	"encoding/json"
	"testing"

	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestEncode: it is what encoding/json writes, odd bytes too.
func TestEncode(t *testing.T) {
	one := uint(1)
	for _, s := range []*specs.LinuxSeccomp{{}, {DefaultAction: specs.ActAllow, DefaultErrnoRet: &one}, spec.Filter("amd64", nil),
		spec.Filter("arm64", []string{"CAP_SYS_ADMIN"}), {DefaultAction: "odd\"<>&\\\n\u2028é\xff", Architectures: []specs.Arch{"a", "b"},
			Flags: []specs.LinuxSeccompFlag{"F"}, ListenerPath: "/a b", ListenerMetadata: "\x7f",
			Syscalls: []specs.LinuxSyscall{{}, {Names: []string{"x", "\""}, ErrnoRet: &one, Args: []specs.LinuxSeccompArg{{}, {Index: 1, Value: 2, ValueTwo: 3, Op: specs.OpMaskedEqual}}}}}} {
		want, err := json.Marshal(s)
		if got, e := encode(s, nil); err != nil || e != nil || string(got) != string(want) {
			t.Errorf("%s, %v\nwant %s, %v", got, e, want, err)
		}
	}
}

// TestEncodeAlone: the same of each character by itself, and of what is empty.
func TestEncodeAlone(t *testing.T) {
	type inner struct {
		N int `json:"n,omitempty"`
	}
	type outer struct {
		Struct inner          `json:"struct,omitempty"` // never empty to encoding/json
		Map    map[string]int `json:"map,omitempty"`
		List   []string       `json:"list,omitempty"`
		Text   string         `json:"text"`
	}
	values := []any{outer{}, outer{Map: map[string]int{}, List: []string{}}, outer{inner{1}, map[string]int{"a": 1}, []string{""}, "x"}}
	for c := range rune(0x100) {
		values = append(values, string(c), string([]byte{byte(c)}))
	}
	for _, v := range values {
		want, err := json.Marshal(v)
		if got, e := encode(v, nil); err != nil || e != nil || string(got) != string(want) {
			t.Errorf("%s, %v\nwant %s, %v", got, e, want, err)
		}
	}
}
