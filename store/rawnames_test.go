package store

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/homerun-oci/homerun/action"
)

// TestRawNames: what state.json says of a path is that path, and not one whose
// name has other characters in place of bytes that are not UTF-8. Each property
// that is used as a path is here.
func TestRawNames(t *testing.T) {
	const odd = "/tmp/\xff\xfe"
	s := State{Version: StateVersion, ID: "web", Bundle: odd + "/b", Rootfs: odd + "/r", Cgroup: Cgroup{Path: odd + "/c"},
		Undo: action.Undos{action.RemoveFile{Path: "/tmp/\ufffd"}, action.RemoveMade{Path: odd + "/m"}, action.EndNetwork{Directory: odd}}}
	for _, s := range []State{s, {Version: StateVersion, ID: "web", Bundle: "/ü", Undo: action.Undos{action.RemoveFile{Path: "/tmp/x"}}}} {
		want := s
		s.keepRaw()
		text, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseState(text)
		if plain := got.Raw == nil; plain != (want.Bundle == "/ü") {
			t.Errorf("%s", text)
		}
		got.Raw = nil
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	if got, err := parseState([]byte(`{"version":1,"raw":{"undo":{"-1":"eA==","7":"eA=="}}}`)); err != nil || len(got.Undo) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
