package container

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/homerun-oci/homerun/compile"
)

// What create writes start reads, each field of it.
func TestStepsText(t *testing.T) {
	whole := compile.TailStep{Kind: compile.KindAccess, Path: "/a\"b\\\n", Text: "c\x01", What: "d\u00e9", Subject: "e", Pointer: "process/args/0"}
	for i, v := 0, reflect.ValueOf(whole); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("the test lacks %s", v.Type().Field(i).Name)
		}
	}
	for _, want := range []compile.Tail{{Total: 7, Steps: []compile.TailStep{whole, {Text: "f"}}}, {Steps: []compile.TailStep{}}} {
		var got compile.Tail
		if err := json.Unmarshal(stepsText(want), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v: %v", stepsText(want), got, want, err)
		}
	}
}
