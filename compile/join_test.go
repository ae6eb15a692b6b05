package compile

import (
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestJoinAsCaller: a hook that acts as the caller gets nothing of what the
// program is given or confined by; one of the image gets it all, as exec does.
func TestJoinAsCaller(t *testing.T) {
	score := 500
	process := &specs.Process{Args: []string{"sh"}, Cwd: "/", OOMScoreAdj: &score, NoNewPrivileges: true, User: specs.User{UID: 7, GID: 8},
		Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}}, Capabilities: &specs.LinuxCapabilities{}}
	hook := &specs.Hook{Path: "/hook"}
	words := []string{"oom_score_adj", "prlimit64(", "setresuid(7", "PR_SET_NO_NEW_PRIVS", "capset("}
	for name, test := range map[string]struct {
		join     Join
		confined bool
		path     string
	}{
		"exec":            {Join{Process: process, Namespaces: unix.CLONE_NEWNS}, true, "execve(\"/bin/sh\""},
		"image's hook":    {Join{Process: process, Hook: hook, Namespaces: unix.CLONE_NEWNS}, true, "execve(\"/hook\""},
		"caller's inside": {Join{Process: process, Hook: hook, AsCaller: true, Namespaces: unix.CLONE_NEWNS}, false, "execve(\"/hook\""},
		"caller's":        {Join{Process: process, Hook: hook, AsCaller: true}, false, "execve(\"/hook\""},
	} {
		r, err := joinAnswered(test.join, &host.Facts{Kernel: host.Kernel{LastCapability: 40}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var text strings.Builder
		for i := range r.Plan.Len() {
			text.WriteString(r.Plan.Text(i) + "\n")
		}
		for _, word := range words {
			if strings.Contains(text.String(), word) != test.confined {
				t.Errorf("%s: %s: %v, want %v\n%s", name, word, !test.confined, test.confined, text.String())
			}
		}
		if !strings.Contains(text.String(), test.path) {
			t.Errorf("%s: %s is missing\n%s", name, test.path, text.String())
		}
	}
}
