package container

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/spec"
	"github.com/homerun-oci/homerun/tests/filled"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestConfigText: member by member it is what encoding/json writes of all, with every
// member set, none, and those that are there and empty.
func TestConfigText(t *testing.T) {
	var full specs.Spec
	filled.Fill(reflect.ValueOf(&full).Elem(), "<a>")
	made, err := spec.Rootfs{Path: "/", Args: []string{"true"}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*specs.Spec{"full": &full, "none": {}, "made": made, "empty": {Process: &specs.Process{Args: []string{}, Env: []string{}},
		Mounts: []specs.Mount{}, Hooks: &specs.Hooks{Poststop: []specs.Hook{{}}}, Annotations: map[string]string{}, Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}} {
		want, err := json.Marshal(s)
		if got, e := ConfigText(&bundle.Bundle{Config: s}); err != nil || e != nil || string(got) != string(want) {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			t.Errorf("%s: %v, %v, from byte %d on:\n%.200s\nwant\n%.200s", name, e, err, at, got[at:], want[at:])
		}
	}
}

// TestConfigTextProfile: a profile that is JSON already is the one that counts.
func TestConfigTextProfile(t *testing.T) {
	text, err := ConfigText(&bundle.Bundle{Config: &specs.Spec{Linux: &specs.Linux{}}, Seccomp: []byte(`{"defaultAction":"x"}`)})
	if want := `{"ociVersion":"","linux":{"seccomp":{"defaultAction":"x"}}}`; err != nil || string(text) != want {
		t.Errorf("%s, %v\nwant %s", text, err, want)
	}
}
