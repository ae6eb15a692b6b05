package container

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestFeatures(t *testing.T) {
	f := Features()
	if len(f.Linux.Capabilities) != 41 || f.Linux.Capabilities[0] != "CAP_CHOWN" {
		t.Errorf("capabilities: %d %v", len(f.Linux.Capabilities), f.Linux.Capabilities[0])
	}
	for _, list := range [][]string{f.MountOptions, f.Linux.Namespaces} {
		if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("not sorted, or twice: %q", list)
		}
	}
	if text, err := json.Marshal(f); err != nil || len(text) < 1000 {
		t.Errorf("%s %v", text, err)
	}
}
