package device

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestNew(t *testing.T) {
	list, err := New(map[string]specs.LinuxNetDevice{"eth1": {}, "eth0": {Name: "net%d"}}, true)
	if err != nil || len(list) != 2 || list[0] != (Move{"eth0", "net%d"}) || list[1] != (Move{"eth1", "eth1"}) {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := New(map[string]specs.LinuxNetDevice{"eth1": {}}, false); err == nil {
		t.Error("a container in the host's network namespace takes a device")
	}
	for _, name := range []string{".", "..", "a/b", "a b", "sixteen_letters_", "%s", "%d%d", "a:b"} {
		if _, err := New(map[string]specs.LinuxNetDevice{"eth1": {Name: name}}, true); err == nil {
			t.Errorf("the name %q is accepted", name)
		}
	}
}
