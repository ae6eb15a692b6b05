package cgroup

import (
	"testing"

	"github.com/homerun-oci/homerun/store"
)

func TestCommonPath(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"/user.slice/user-1000.slice/session-1.scope", "/user.slice/user-1000.slice/user@1000.service/user.slice/a.scope", "/user.slice/user-1000.slice"},
		{"/a/b", "/a/b", "/a/b"},
		{"/a", "/a/b", "/a"},
		{"/a/b", "/a/bc", "/a"},
		{"/a", "/b", "/"},
		{"/", "/b", "/"},
	} {
		if got := commonPath(tt.a, tt.b); got != tt.want {
			t.Errorf("commonPath(%q, %q) = %q, want %q", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestBelowCgroup(t *testing.T) {
	for _, tt := range []struct{ dir, own, want string }{
		{"/sys/fs/cgroup/a.scope/container", "/a.scope/container", ""},
		{"/sys/fs/cgroup/a.scope/container", "/a.scope/container/init/x", "/init/x"},
		{"/sys/fs/cgroup/a.scope/container", "/a.scope/container/a.scope/container", "/a.scope/container"},
		{"/sys/fs/cgroup/a.scope/container", "/b.scope", ""},
		{"/sys/fs/cgroup/a.scope/container", "/", ""},
	} {
		if got := below(tt.dir, tt.own); got != tt.want {
			t.Errorf("below(%q, %q) = %q, want %q", tt.dir, tt.own, got, tt.want)
		}
	}
}

// The cgroup whose events are the container's: a scope only if it was made for
// the container.
func TestWholeCgroup(t *testing.T) {
	for want, s := range map[string]store.Cgroup{
		"/a/x.scope":             {Scope: "x.scope", Path: "/a/x.scope/container"},
		"/a/shell.scope/mine":    {Path: "/a/shell.scope/mine"},
		"/a/web.service/mine":    {Path: "/a/web.service/mine"},
		"/b/x.scope":             {Scope: "x.scope", Path: "/b/x.scope/mine.scope"},
		"/a/outer.scope/y.scope": {Scope: "y.scope", Path: "/a/outer.scope/y.scope"},
	} {
		if got := Whole(&s); got != want {
			t.Errorf("%+v: %s, want %s", s, got, want)
		}
	}
}
