package seccomp

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func state() State {
	return State{
		OCIVersion: "1.3.0", ID: "web\"1", Status: "creating", PID: 42, InitPID: 40, Bundle: "/b\x01\n",
		Annotations: map[string]string{"b": "2", "a": "ä\\"}, Metadata: `{"k":"v"}`,
	}
}

func TestMessageIsTheSpecificationsState(t *testing.T) {
	var got specs.ContainerProcessState
	if err := json.Unmarshal(state().Message(), &got); err != nil {
		t.Fatalf("%s: %v", state().Message(), err)
	}
	want := specs.ContainerProcessState{
		Version: "1.3.0", Fds: []string{specs.SeccompFdName}, Pid: 42, Metadata: `{"k":"v"}`,
		State: specs.State{Version: "1.3.0", ID: "web\"1", Status: specs.StateCreating, Pid: 40, Bundle: "/b\x01\n",
			Annotations: map[string]string{"b": "2", "a": "ä\\"}},
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
}

func TestMessageIsStable(t *testing.T) {
	want := `{"ociVersion":"1.3.0","fds":["seccompFd"],"pid":1,"state":{"ociVersion":"1.3.0","id":"x","status":"running","pid":1,"bundle":"/b"}}`
	if got := string(State{OCIVersion: "1.3.0", ID: "x", Status: "running", PID: 1, Bundle: "/b"}.Message()); got != want {
		t.Errorf("got %s", got)
	}
}
