package container

import "testing"

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
		if got := belowCgroup(tt.dir, tt.own); got != tt.want {
			t.Errorf("belowCgroup(%q, %q) = %q, want %q", tt.dir, tt.own, got, tt.want)
		}
	}
}
