package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
)

// TestMountsBelow: what mountinfo has below a directory, with names that are
// escaped, and none that only begins like it.
func TestMountsBelow(t *testing.T) {
	const text = `19 1 98:0 / / rw - ext4 /dev/root rw
20 19 0:7 / /dev rw - devtmpfs devtmpfs rw
21 19 0:8 / /srv/tree/a\040b rw - tmpfs none rw
22 19 0:9 / /srv/trees rw - tmpfs none rw
23 19 0:9 / /srv/tree rw - tmpfs none rw
short
`
	for dir, want := range map[string]string{"/": "dev,srv/tree/a b,srv/trees,srv/tree", "/srv/tree": "a b", "/srv/tree/": "a b", "/dev": "", "/srv": "tree/a b,trees,tree"} {
		if got := strings.Join(mountsBelow([]byte(text), dir), ","); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}

// TestTakeApart: what is on the way to a mount is made anew, what is covered is not
// looked into, and all else is a layer. A link on the way is one, and leads nowhere.
func TestTakeApart(t *testing.T) {
	tree := []string{"bin => usr/bin", "etc/x", "home/me/.ssh/id", "home/disk/deep/y", "home/other/", "proc/1/", "file", "out => /etc", "pipe|"}
	for name, c := range map[string]struct {
		mounts, covered []string
		want            string
	}{
		"no mount":            {nil, nil, ""},
		"one below":           {[]string{"home/disk"}, nil, "bin>usr/bin etc file home+ home/disk* home/me home/other out>/etc pipe proc"},
		"in a mount":          {[]string{"home/disk", "home/disk/deep"}, nil, "bin>usr/bin etc file home+ home/disk+* home/disk/deep* home/me home/other out>/etc pipe proc"},
		"covered":             {[]string{"proc", "proc/1"}, []string{"proc"}, "bin>usr/bin etc file home out>/etc pipe proc+*"},
		"covered, on the way": {[]string{"home/disk/deep"}, []string{"home"}, "bin>usr/bin etc file home+* out>/etc pipe proc"},
		"gone meanwhile":      {[]string{"none/deep"}, nil, "bin>usr/bin etc file home out>/etc pipe proc"},
	} {
		root := makeTree(t, tree...)
		fd, err := os.Open(root)
		if err != nil {
			t.Fatal(err)
		}
		defer fd.Close()
		covered := make(places)
		for _, p := range c.covered {
			covered[p] = true
		}
		a := &takeApart{root: int(fd.Fd()), layers: &host.Layers{}, covered: covered, plain: make(places), mounted: make(places)}
		for _, m := range c.mounts {
			a.note(m)
		}
		if len(a.plain) > 0 {
			err = a.directory(".")
		}
		var got []string
		for _, p := range a.layers.Parts {
			text := p.Path
			if p.Link != "" {
				text += ">" + p.Link
			}
			if p.Plain {
				text += "+"
			}
			if p.Mount {
				text += "*"
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != c.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

// TestTooManyParts: a root that is no plan's size is not taken apart halfway.
func TestTooManyParts(t *testing.T) {
	root := t.TempDir()
	for i := range host.MaxTreeEntries - 1 {
		for _, dir := range []string{"a", "b", "c"} {
			if err := os.MkdirAll(filepath.Join(root, dir, fmt.Sprint(i)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	fd, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	a := &takeApart{root: int(fd.Fd()), layers: &host.Layers{}, covered: make(places), plain: make(places), mounted: make(places)}
	for _, m := range []string{"a/0/x", "b/0/x", "c/0/x"} {
		a.note(m)
	}
	if err := a.directory("."); err == nil || !strings.Contains(err.Error(), "more than 2048 files") || len(a.layers.Parts) > 0 {
		t.Errorf("%d parts, %v", len(a.layers.Parts), err)
	}
}

// TestLayers: measured where an overlay wants it.
func TestLayers(t *testing.T) {
	root := makeTree(t, "etc/x")
	p, err := New([3]int{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	n := &host.Needs{Rootfs: root, Layers: "root.path"}
	if fact, _ := n.Missing(&host.Facts{Rootfs: host.Source{Kind: host.Directory}}); fact != "layers" {
		t.Errorf("missing: %q", fact)
	}
	if err := p.Measure(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if l := p.Facts.Layers; l == nil || l.UID != os.Getuid() || l.Error != "" || len(l.Parts) > 0 {
		t.Errorf("%+v", l)
	}
	n = &host.Needs{Rootfs: "/", Layers: "root.path", Targets: []host.Destination{{Path: "/proc", Mount: true}}}
	if err := p.Measure(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(p.Facts.Layers.Parts, func(p host.Part) bool { return p.Path == "proc" })
	if i < 0 || !p.Facts.Layers.Parts[i].Plain {
		t.Errorf("/proc is no part of / that is made anew: %d of %+v", i, p.Facts.Layers)
	}
}
