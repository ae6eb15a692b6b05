package container_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestAttendedBesideOrphans: one waits, for orphans too, while others send signals, look
// at the process, and end it. The first process, which attends to init, is taken as a
// child like others. The race detector sees what they share.
func TestAttendedBesideOrphans(t *testing.T) {
	for name, reaper := range map[string]bool{"alone": false, "beside an init": true} {
		t.Run(name, func(t *testing.T) {
			runtime, bundle, remove := scratch("sh", "-c", "(sleep 0.05 & sleep 0.1 &); while :; do sleep 0.01; done")
			defer remove()
			if !reaper {
				ns := &bundle.Config.Linux.Namespaces
				*ns = slices.DeleteFunc(*ns, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
				bundle.Config.Mounts = slices.DeleteFunc(bundle.Config.Mounts, func(m specs.Mount) bool { return m.Type == "proc" })
			}
			p, err := runtime.Run(t.Context(), container.Request{ID: "x", Bundle: bundle, Streams: container.OwnStreams(),
				Subreaper: true, EndsWithCaller: true, Reaper: reaper})
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			var others sync.WaitGroup
			for range 4 {
				others.Go(func() {
					for time.Since(begun) < 300*time.Millisecond {
						p.Signal(unix.SIGWINCH)
						p.Drops(unix.SIGTERM)
						time.Sleep(time.Millisecond)
					}
					p.EndBy(unix.SIGTERM)
				})
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			status, err := p.Wait(ctx)
			others.Wait()
			if err != nil || status != 128+int(unix.SIGTERM) {
				t.Errorf("status %d, %v", status, err)
			}
			if err := p.Delete(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}
