package security

import "testing"

// TestContainerRuns: an ordinary container works for each caller, so that a
// refusal elsewhere is about what the test did to it.
func TestContainerRuns(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		r := newBundle(t, c, "report", "read /proc/kcore", "list /sys/firmware", "write /proc/sys/kernel/hostname").run()
		rep := r.report(t)
		if r.status != 0 || !rep.Proc || !rep.Null || rep.Cwd != "/" {
			t.Errorf("status %d, %+v, stderr %s", r.status, rep, r.stderr)
		}
		if got := rep.Tries["list /sys/firmware"]; got != "" {
			t.Errorf("/sys/firmware shows %q", got)
		}
		if got := rep.Tries["write /proc/sys/kernel/hostname"]; got != "EROFS" && got != "EACCES" {
			t.Errorf("write below /proc/sys: %s", got)
		}
	})
}
