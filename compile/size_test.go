package compile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestSize: more than a plan takes is an error in words, whether the number of
// entries shows it at once or only the steps that they take; and a thousand
// mounts are not too many.
func TestSize(t *testing.T) {
	paths := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint("/none/", i))
		}
		return list
	}
	mounts := func(n int) (list []specs.Mount) {
		for i := range n {
			list = append(list, specs.Mount{Destination: fmt.Sprint("/m/", i), Type: "tmpfs", Source: "tmpfs"})
		}
		return list
	}
	for name, c := range map[string]struct {
		mounts       []specs.Mount
		masked, read []string
		want         string
	}{
		"many masks":       {masked: paths(100_000), want: "(linux.maskedPaths): 100000 entries are too many"},
		"some masks":       {masked: paths(6600), want: "(linux.maskedPaths): 6600 entries are too many"},
		"read-only":        {masked: paths(10), read: paths(9000), want: "(linux.readonlyPaths): 9000 entries are too many"},
		"many mounts":      {mounts: mounts(10_000), want: "(mounts): 10000 entries are too many"},
		"a thousand":       {mounts: mounts(1000), masked: paths(1000)},
		"a thousand again": {mounts: mounts(1000), read: paths(1000)},
	} {
		s := &specs.Spec{Process: &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"}, Root: &specs.Root{Path: "rootfs"}, Mounts: c.mounts,
			Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}},
				MaskedPaths: c.masked, ReadonlyPaths: c.read}}
		facts := &host.Facts{Rootfs: host.Source{Path: "/bundle/rootfs", Kind: host.Directory}, UserNamespace: host.UserNamespace{Initial: true,
			UIDMap: []host.Mapping{{Size: 1 << 31}}, GIDMap: []host.Mapping{{Size: 1 << 31}}}}
		_, err := compileAnswered(s, facts, wishes())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
