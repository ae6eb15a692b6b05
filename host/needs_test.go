package host

import "testing"

// What lies below a directory is needed of a tmpfs with tmpcopyup, unless an
// earlier mount is on the same path: then nobody looks at what the root has there.
func TestTreeOfWhatIsCovered(t *testing.T) {
	f := &Facts{Rootfs: Source{Kind: Directory}, Targets: map[string]Target{"/a": {Resolved: "a", Kind: Directory}}}
	copied := Destination{Path: "/a", Place: "mounts[1]", Mount: true, Tree: true}
	for _, test := range []struct {
		earlier Destination
		want    string
	}{
		{Destination{Path: "/a", Mount: true}, ""},
		{Destination{Path: "/a"}, `targets["/a"].tree`},
		{Destination{Path: "/", Mount: true}, `targets["/"]`},
	} {
		n := &Needs{Rootfs: "root.path", Targets: []Destination{test.earlier, copied}}
		if fact, _ := n.Missing(f); fact != test.want {
			t.Errorf("%+v: lacks %q, want %q", test.earlier, fact, test.want)
		}
	}
}
