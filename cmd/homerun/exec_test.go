package main

import (
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestAddCapabilities: --cap never makes a capability inheritable, and ambient
// only where that is what config.json says already.
func TestAddCapabilities(t *testing.T) {
	const raw, kill = "CAP_NET_RAW", "CAP_KILL"
	for _, test := range []struct {
		name       string
		have, want *specs.LinuxCapabilities
		add        []string
	}{
		{"none", nil, nil, nil},
		{"to none", nil, &specs.LinuxCapabilities{Bounding: []string{raw}, Effective: []string{raw}, Permitted: []string{raw}}, []string{"net_raw"}},
		{"another inheritable", &specs.LinuxCapabilities{Inheritable: []string{kill}},
			&specs.LinuxCapabilities{Bounding: []string{raw}, Effective: []string{raw}, Permitted: []string{raw}, Inheritable: []string{kill}}, []string{raw}},
		{"inheritable", &specs.LinuxCapabilities{Bounding: []string{kill}, Inheritable: []string{raw}, Ambient: []string{kill}},
			&specs.LinuxCapabilities{Bounding: []string{kill, raw}, Effective: []string{raw}, Permitted: []string{raw}, Inheritable: []string{raw},
				Ambient: []string{kill, raw}}, []string{"cap_net_raw"}},
	} {
		p := &specs.Process{Capabilities: test.have}
		addCapabilities(p, test.add)
		if !reflect.DeepEqual(p.Capabilities, test.want) {
			t.Errorf("%s: %+v, want %+v", test.name, p.Capabilities, test.want)
		}
	}
}

// TestTyped: an exec with any flag that is an engine's goes on when its homerun ends.
func TestTyped(t *testing.T) {
	for _, test := range []struct {
		f    execFlags
		want bool
	}{
		{execFlags{}, true},
		{execFlags{process: "p.json"}, false},
		{execFlags{pidFile: "pid"}, false},
		{execFlags{consoleSocket: "s"}, false},
		{execFlags{pidfdSocket: "s"}, false},
	} {
		if got := test.f.typed(); got != test.want {
			t.Errorf("%+v: %v", test.f, got)
		}
	}
}
