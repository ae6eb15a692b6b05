package intelrdt

import (
	"errors"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestNew(t *testing.T) {
	for _, row := range []struct {
		rdt  specs.LinuxIntelRdt
		want Plan
		err  error
	}{
		{specs.LinuxIntelRdt{}, Plan{Class: "web", Own: true}, nil},
		{specs.LinuxIntelRdt{ClosID: "/"}, Plan{}, nil},
		{specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=f", MemBwSchema: "0=20", Schemata: []string{"L2:0=3"}},
			Plan{Class: "gold", Schemata: []string{"L3:0=f", "MB:0=20", "L2:0=3"}}, nil},
		{specs.LinuxIntelRdt{EnableMonitoring: true}, Plan{Class: "web", Own: true, Monitor: "web"}, nil},
		{specs.LinuxIntelRdt{ClosID: "../x"}, Plan{}, ErrName},
		{specs.LinuxIntelRdt{ClosID: "info"}, Plan{}, ErrName},
		{specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f\nMB:0=1"}, Plan{}, ErrLine},
	} {
		got, err := New(&row.rdt, "web")
		if !errors.Is(err, row.err) || err == nil && !reflect.DeepEqual(*got, row.want) {
			t.Errorf("%+v: %+v, %v", row.rdt, got, err)
		}
	}
	if p, err := New(nil, "web"); p != nil || err != nil {
		t.Errorf("without the section: %v, %v", p, err)
	}
}
