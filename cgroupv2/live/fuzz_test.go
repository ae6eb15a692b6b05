package live

import (
	"strings"
	"testing"
)

// FuzzUnifiedPath: the path of /proc/PID/cgroup is one line's, and absolute.
func FuzzUnifiedPath(f *testing.F) {
	for _, text := range []string{"0::/\n", "12:pids:/a\n0::/user.slice/x.scope\n", "0::/a b (deleted)\n", "0::", "0::x", "1:name=systemd:/\n", "10::/a\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := unifiedPath(text)
		if p != "" && (p[0] != '/' || strings.Contains(p, "\n") || !strings.Contains("\n"+text+"\n", "\n0::"+p+"\n")) {
			t.Errorf("%q: %q", text, p)
		}
		if p == "" && strings.HasPrefix(text, "0::/") {
			t.Errorf("%q: none", text)
		}
	})
}
