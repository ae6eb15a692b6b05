package host_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/tests/filled"
)

// full has a value for everything.
func full(t *testing.T) *host.Facts {
	t.Helper()
	f := &host.Facts{}
	filled.Fill(reflect.ValueOf(f).Elem(), "x")
	return f
}

// TestDecode: facts come back from JSON as they were.
func TestDecode(t *testing.T) {
	for _, f := range []*host.Facts{{}, full(t)} {
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := host.Decode(text)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%v\n%s\n%+v", err, text, got)
		}
	}
}

// TestDecodeErrors: what is mistyped, missing or no JSON is named.
func TestDecodeErrors(t *testing.T) {
	text, err := json.Marshal(full(t))
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	for _, c := range []struct{ text, want string }{
		{strings.Replace(good, `"uid":`, `"uidd":`, 1), `unknown field "uidd"`},
		{strings.Replace(good, `"rootfs":`, `"root":`, 1), `unknown field "root"`},
		{strings.Replace(good, `"uid":7,`, "", 1), "process.uid is missing"},
		{strings.Replace(good, `"initial":true,`, "", 1), "userNamespace.initial is missing"},
		{strings.Replace(good, `"lastCapability":7,`, "", 1), "kernel.lastCapability is missing"},
		{strings.Replace(good, `"uid":7,`, `"uid":"7",`, 1), "cannot unmarshal string"},
		{`{}`, "process is missing"},
		{`{"process":{"uid":0,"gid":0,"capabilities":0}}`, "userNamespace is missing"},
		{`[]`, "cannot unmarshal array"},
		{``, "EOF"},
		{good + good, "something follows the facts"},
		{`null`, "process is missing"},
		{`{"process":null}`, "process is missing"},
		{strings.Replace(good, `"hostID":7,`, "", 1), "userNamespace.uidMap[0].hostID is missing"},
		{strings.Replace(good, `"error":"x","uid":7,"gid":7}`, `"error":"x","uid":7}`, 1), `targets["x"].tree.gid is missing`},
	} {
		if _, err := host.Decode([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v, want %q", c.text, err, c.want)
		}
	}
}
