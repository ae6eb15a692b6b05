package container_test

import (
	"slices"
	"testing"

	"github.com/homerun-oci/homerun/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestWarnedOnce: what is ignored is said once for each process that is asked
// for, however many hooks run with the same rights.
func TestWarnedOnce(t *testing.T) {
	const want = `process.capabilities: unknown capability "CAP_NO_SUCH" is ignored`
	var warned []string
	runtime, bundle, remove := scratchWith(container.Options{Warn: func(text string) { warned = append(warned, text) }}, "sleep", "60")
	defer remove()
	unknown := &specs.LinuxCapabilities{Bounding: []string{"CAP_NO_SUCH"}, Permitted: []string{"CAP_NO_SUCH"}}
	bundle.Config.Process.Capabilities = unknown
	hook := specs.Hook{Path: "/bin/true"}
	bundle.Config.Hooks = &specs.Hooks{StartContainer: []specs.Hook{hook, hook}}
	p, err := runtime.Run(t.Context(), container.Request{ID: "web", Bundle: bundle, Streams: container.OwnStreams()})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(warned, []string{want}) {
		t.Errorf("run: %q", warned)
	}
	warned = nil
	e, err := runtime.Exec(t.Context(), "web", container.ExecRequest{Process: &specs.Process{Args: []string{"true"}, Cwd: "/", Capabilities: unknown}, Streams: container.OwnStreams()})
	if err == nil {
		_, err = e.Wait(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
	if !slices.Equal(warned, []string{want}) {
		t.Errorf("exec: %q", warned)
	}
	p.Signal(9)
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.Delete(t.Context()); err != nil {
		t.Error(err)
	}
}
