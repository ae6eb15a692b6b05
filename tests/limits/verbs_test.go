package limits

import (
	"os"
	"testing"
	"time"
)

// stop lets a paused container have its signal, and kills it while it is paused when it
// has no use for that.
func TestStopPaused(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		for want, script := range map[string]string{"3": "trap 'exit 3' TERM; touch /tmp/ready; while :; do sleep 0.01; done", "137": "touch /tmp/ready; exec sleep 100"} {
			b := newBox(t, manager, "", "/bin/sh", "-c", script)
			t.Cleanup(func() { b.must("delete", "--force", b.id) })
			b.must("run", "-d", "--bundle", b.dir, b.id)
			eventually(t, "ready", func() bool { _, err := os.Stat(b.dir + "/rootfs/tmp/ready"); return err == nil })
			b.must("pause", b.id)
			begun := time.Now()
			b.must("stop", b.id)
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("stop took %s", took)
			}
			b.wantStatus("stopped")
			if _, err := b.homerun("wait", b.id); err == nil || err.Error() != "exit status "+want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}
