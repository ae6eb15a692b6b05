package seccomp

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/seccomp/bpf"
)

func TestFromAnnotation(t *testing.T) {
	ret := func(k uint32) string {
		return base64.StdEncoding.EncodeToString(bpf.Bytes([]bpf.Instruction{{Op: bpf.RetK, K: k}}))
	}
	f, err := FromAnnotation(ret(bpf.Allow), "")
	if err != nil || f.Flags != FlagSpecAllow || f.Listener {
		t.Errorf("%+v %v", f, err)
	}
	f, err = FromAnnotation(ret(bpf.Notify), "/run/x")
	if err != nil || !f.Listener || f.ListenerPath != "/run/x" {
		t.Errorf("%+v %v", f, err)
	}
	for data, want := range map[string]string{
		"*":             "illegal base64",
		"":              "program of 0 bytes",
		"AAAA":          "program of 3 bytes",
		ret(bpf.Notify): "listenerPath: missing",
		base64.StdEncoding.EncodeToString(make([]byte, 8)): "does not return",
	} {
		if _, err := FromAnnotation(data, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", data, err)
		}
	}
}
