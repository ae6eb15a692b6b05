package spec

import (
	"fmt"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestOptional: what the host may forbid without the container failing, and what
// stays an error: /sys that would be the host's instead, what was asked for, and
// what programs need.
func TestOptional(t *testing.T) {
	s, err := Rootfs{Path: "/", Hostname: "homerun", Volumes: []string{"/proc:/mnt"}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		destination string // of a mount, or another pointer
		errno       unix.Errno
		want        string
	}{
		{"hostname", unix.EPERM, "hostname"},
		{"/proc", unix.EPERM, "/proc"},
		{"/proc", unix.EROFS, ""},
		{"/sys", unix.EROFS, "/sys"},
		{"/sys", unix.EPERM, ""},
		{"/sys/fs/cgroup", unix.EROFS, "/sys/fs/cgroup"},
		{"/sys/fs/cgroup", 0, "/sys/fs/cgroup"},
		{"/dev/mqueue", unix.ENODEV, "/dev/mqueue"},
		{"/dev", unix.EPERM, ""},
		{"/dev/pts", unix.EPERM, ""},
		{"/tmp", unix.EPERM, ""},
		{"/mnt", unix.EPERM, ""},
		{"root.path", unix.EPERM, ""},
		{"", unix.EPERM, ""},
	} {
		pointer := c.destination
		if i := at(s, pointer); i >= 0 {
			pointer = fmt.Sprintf("mounts[%d]", i)
		}
		got, note := Optional(s, pointer, c.errno)
		if got != c.want || (note == "") != (c.want == "") {
			t.Errorf("%s, %v: %q, %q", c.destination, c.errno, got, note)
		}
	}
}

func at(s *specs.Spec, destination string) int {
	return slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == destination })
}

func TestWithout(t *testing.T) {
	s, err := Rootfs{Path: "/", Hostname: "homerun", Without: []string{"hostname", "/proc", "/sys/fs/cgroup"}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	if s.Hostname != "" || at(s, "/sys/fs/cgroup") >= 0 || at(s, "/sys") < 0 {
		t.Errorf("%q %v", s.Hostname, s.Mounts)
	}
	if m := s.Mounts[at(s, "/proc")]; m.Type != "bind" || m.Source != "/proc" || !slices.Contains(m.Options, "rbind") || !slices.Contains(m.Options, "nosuid") {
		t.Errorf("%v", m)
	}
}
