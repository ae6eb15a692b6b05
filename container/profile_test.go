package container

import (
	"encoding/json"
	"testing"

	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestEncodeProfile: what is written by hand is what encoding/json writes.
func TestEncodeProfile(t *testing.T) {
	one := uint(1)
	for _, s := range []*specs.LinuxSeccomp{{}, {DefaultAction: specs.ActAllow, DefaultErrnoRet: &one}, spec.Filter("amd64", nil),
		spec.Filter("arm64", []string{"CAP_SYS_ADMIN"}), {DefaultAction: "odd\"<>&\\\n\u2028é\xff", Architectures: []specs.Arch{"a", "b"},
			Flags: []specs.LinuxSeccompFlag{"F"}, ListenerPath: "/a b", ListenerMetadata: "\x7f",
			Syscalls: []specs.LinuxSyscall{{}, {Names: []string{"x", "\""}, ErrnoRet: &one, Args: []specs.LinuxSeccompArg{{}, {Index: 1, Value: 2, ValueTwo: 3, Op: specs.OpMaskedEqual}}}}}} {
		want, err := json.Marshal(s)
		if got := encodeProfile(s); err != nil || string(got) != string(want) {
			t.Errorf("%s\nwant %s, %v", got, want, err)
		}
	}
}
