package notify

import (
	"strings"
	"testing"
)

// TestTellReady: what the manager hears, and that it is gone.
func TestTellReady(t *testing.T) {
	for main, want := range map[int]string{0: "READY=1", 7: "READY=1\nMAINPID=7"} {
		manager, name := listenFake(t)
		managed := make(chan []string)
		go func() { managed <- hear(manager) }()
		if err := TellReady(name, main); err != nil {
			t.Error(err)
		}
		if got := <-managed; len(got) != 2 || got[0] != want || got[1] != barrierWord {
			t.Errorf("the manager hears %q", got)
		}
		manager.Close()
		if err := TellReady(name, main); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
			t.Errorf("%v", err)
		}
	}
}
