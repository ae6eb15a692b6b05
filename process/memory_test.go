package process

import (
	"reflect"
	"testing"
)

func TestMemoryNodes(t *testing.T) {
	for _, row := range []struct {
		text string
		want []uint64
		ok   bool
	}{
		{"", nil, true}, {"0", []uint64{1}, true}, {"0-1,3", []uint64{11}, true}, {" 1 , 64", []uint64{2, 1}, true},
		{"1-0", nil, false}, {"x", nil, false}, {"0-", nil, false}, {"1024", nil, false}, {"-1", nil, false}, {",", nil, false},
	} {
		if got, ok := memoryNodes(row.text); ok != row.ok || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%q: %v, %v", row.text, got, ok)
		}
	}
}
