package spec

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestCovers: keys are covered exactly where the container would see them, and what
// was asked for is not.
func TestCovers(t *testing.T) {
	home, none := Dir{"/home/me", "/home/me"}, Dir{}
	linked := Dir{"/data/me", "/home/me"}
	for name, c := range map[string]struct {
		seen Seen
		real string
		want string
	}{
		"behind the empty home":                {Seen{Whole: true, Home: home, Private: true}, "/home/me/.ssh", ""},
		"in the home":                          {Seen{Whole: true, Home: home}, "/home/me/.ssh", "/home/me/.ssh"},
		"in the home, of another root":         {Seen{Home: home}, "/home/me/.ssh", "/home/me/.ssh"},
		"in the home by another name":          {Seen{Home: linked}, "/data/me/.ssh", "/home/me/.ssh"},
		"a link out of the empty home":         {Seen{Whole: true, Home: home, Private: true}, "/srv/keys", "/srv/keys"},
		"a link out, of another root":          {Seen{Home: home, Private: true}, "/srv/keys", ""},
		"a link into the current directory":    {Seen{Here: Dir{"/home/me/dots", "/home/me/dots"}, Home: home, Private: true}, "/home/me/dots/ssh", "/home/me/dots/ssh"},
		"the same by another name":             {Seen{Here: Dir{"/data/me/dots", "/home/me/dots"}, Home: linked, Private: true}, "/data/me/dots/ssh", "/home/me/dots/ssh"},
		"the current directory is one":         {Seen{Whole: true, Here: Dir{"/home/me/.ssh", "/home/me/.ssh"}, Home: home, Private: true}, "/home/me/.ssh", ""},
		"the current directory lies in one":    {Seen{Whole: true, Here: Dir{"/home/me/.kube/x", "/home/me/.kube/x"}, Home: home}, "/home/me/.kube", ""},
		"the current directory is the home":    {Seen{Whole: true, Here: home, Home: home}, "/home/me/.ssh", "/home/me/.ssh"},
		"the current directory is above":       {Seen{Here: Dir{"/home", "/home"}, Home: home}, "/home/me/.ssh", "/home/me/.ssh"},
		"a name that only begins like a home":  {Seen{Home: home}, "/home/me2/.ssh", ""},
		"a home by a link, on the host's root": {Seen{Whole: true, Home: linked}, "/data/me/.ssh", "/home/me/.ssh /data/me/.ssh"},
		"the home by another name, too":        {Seen{Whole: true, Here: Dir{"/home/me", "/tmp/me"}, Home: home}, "/home/me/.ssh", "/tmp/me/.ssh /home/me/.ssh"},
		"a directory of it by another name":    {Seen{Whole: true, Here: Dir{"/home/me/a", "/tmp/a"}, Home: home}, "/home/me/a/key", "/tmp/a/key /home/me/a/key"},
		"the same, behind the empty home":      {Seen{Whole: true, Here: Dir{"/home/me/a", "/tmp/a"}, Home: home, Private: true}, "/home/me/a/key", "/tmp/a/key"},
		"no home":                              {Seen{Whole: true, Home: none}, "/srv/keys", "/srv/keys"},
	} {
		if got := strings.Join(c.seen.Covers([]string{c.real, c.real}), " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestKeys: no place twice, none above another, and all relative: what is listed is
// covered whole.
func TestKeys(t *testing.T) {
	for i, key := range Keys() {
		for j, other := range Keys() {
			if i != j && Within("/"+key, "/"+other) {
				t.Errorf("%s lies in %s", key, other)
			}
		}
		if key == "" || strings.HasPrefix(key, "/") || strings.HasSuffix(key, "/") {
			t.Errorf("%q", key)
		}
	}
}

// TestPasses: what goes along of the environment, and that secrets do not.
func TestPasses(t *testing.T) {
	for name, want := range map[string][2]bool{ // with a root of the same system, with another
		"TERM": {true, true}, "COLORTERM": {true, true}, "NO_COLOR": {true, true}, "http_proxy": {true, true}, "HTTPS_PROXY": {true, true},
		"ftp_proxy": {true, true}, "ALL_PROXY": {true, true}, "all_proxy": {true, true}, "NO_PROXY": {true, true}, "LANG": {true, false}, "LANGUAGE": {true, false}, "LC_ALL": {true, false}, "TZ": {true, false},
		"GITHUB_TOKEN": {}, "SSH_AUTH_SOCK": {}, "HOME": {}, "PATH": {}, "XDG_RUNTIME_DIR": {}, "LD_PRELOAD": {}, "": {},
	} {
		if got := [2]bool{Passes(name, true), Passes(name, false)}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestHomeInMemory: a home below a directory that is the container's own is bound.
func TestHomeInMemory(t *testing.T) {
	for home, bound := range map[string]bool{"/home/me": false, "/tmp/me": true, "/run/me": true, "/tmpx": false} {
		s, err := Rootfs{Path: "/", ReadOnly: true, Person: Person{Self: true, UID: 1, GID: 1, Home: home, Homes: []string{home}, Visible: "ro"}}.Config()
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool { return m.Source == home && slices.Contains(m.Options, "ro") }); got != bound {
			t.Errorf("%s: bound %v", home, got)
		}
	}
}

// TestSelf: who the program is, and what it is told of that, for each kind of root.
func TestSelf(t *testing.T) {
	me := Person{Self: true, UID: 1000, GID: 1001, Name: "me", Home: "/home/me", Homes: []string{"/home/me"}, Path: "/home/me/bin:/usr/bin"}
	root := me
	root.Self = false
	real := root
	real.UID, real.GID = 0, 0
	shown := root
	shown.Visible = "rw"
	const named, unnamed = " HOME=/home/me USER=me LOGNAME=me", ""
	for name, c := range map[string]struct {
		r                 Rootfs
		uid, mappings     int
		path, told, homes string
		sysctl, capped    bool
	}{
		"/":                         {Rootfs{Path: "/", Person: me}, 1000, 1, me.Path, named, "/home/me", true, false},
		"/, the host's network":     {Rootfs{Path: "/", Person: me, HostNetwork: true}, 1000, 1, me.Path, named, "/home/me", false, false},
		"/, another's network":      {Rootfs{Path: "/", Person: me, JoinedNetwork: true}, 1000, 1, me.Path, named, "/home/me", false, false},
		"/, where it is forbidden":  {Rootfs{Path: "/", Person: me, Without: []string{OptionalPorts}}, 1000, 1, me.Path, named, "/home/me", false, false},
		"/, as root":                {Rootfs{Path: "/", Person: root}, 0, 0, Path, unnamed, "/home/me /root", false, true},
		"/, as root, with the home": {Rootfs{Path: "/", Person: shown}, 0, 0, Path, " HOME=/home/me", "/root", false, true},
		"/, by root":                {Rootfs{Path: "/", Person: real}, 0, 0, me.Path, named, "/home/me /root", false, true},
		"another root":              {Rootfs{Path: "/srv/debian", Person: me}, 1000, 1, Path, named, "/home/me", true, false},
		"another root, as root":     {Rootfs{Path: "/srv/debian", Person: root}, 0, 0, Path, unnamed, "", false, true},
		"another root, by root":     {Rootfs{Path: "/srv/debian", Person: real}, 0, 0, Path, unnamed, "", false, true},
	} {
		c.r.Security = Security{Arch: "arm64", Filtered: true}
		s, err := c.r.Config()
		if err != nil {
			t.Fatal(err)
		}
		var homes []string
		for _, m := range s.Mounts {
			if slices.Contains(m.Options, "mode=0700") {
				homes = append(homes, m.Destination)
			}
		}
		if int(s.Process.User.UID) != c.uid || len(s.Linux.UIDMappings) != c.mappings || strings.Join(s.Process.Env, " ") != "PATH="+c.path+c.told ||
			strings.Join(homes, " ") != c.homes || (s.Linux.Sysctl != nil) != c.sysctl || (len(s.Process.Capabilities.Bounding) > 0) != c.capped {
			t.Errorf("%s: %v %v %v, homes %v, %v, %v", name, s.Process.User, s.Linux.UIDMappings, s.Process.Env, homes, s.Linux.Sysctl, s.Process.Capabilities)
		}
		if !s.Process.NoNewPrivileges || s.Linux.Seccomp == nil {
			t.Errorf("%s: not confined", name)
		}
	}
}

// TestScratch: on the host's own files /tmp is anybody's and /run is root's, both in memory, and
// a home in another one, which is private, comes after that.
func TestScratch(t *testing.T) {
	s, err := Rootfs{Path: "/", Person: Person{Self: true, Home: "/home/me/in", Homes: []string{"/home/me/in", "/home/me"}}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range s.Mounts {
		if m.Type == "tmpfs" && !strings.HasPrefix(m.Destination, "/dev") {
			got = append(got, m.Destination+" "+strings.Join(m.Options, ","))
		}
	}
	if want := []string{"/tmp nosuid,nodev,mode=1777", "/run nosuid,nodev,mode=755", "/home/me nosuid,nodev,mode=0700", "/home/me/in nosuid,nodev,mode=0700"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if s, err = (Rootfs{Path: "/srv/debian"}).Config(); err != nil || slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/tmp" }) {
		t.Errorf("a root of its own has a /tmp of its own: %v, %v", s.Mounts, err)
	}
}

// TestVolumeIsNotCovered: a volume over a place with keys is what was asked for.
func TestVolumeIsNotCovered(t *testing.T) {
	r := Rootfs{Path: "/", Person: Person{Home: "/home/me", Visible: "ro", Keys: []string{"/home/me/.ssh", "/home/me/.aws"}}, Volumes: []string{"/srv/keys:/home/me/.ssh/"}}
	s, err := r.Config()
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Linux.MaskedPaths; slices.Contains(p, "/home/me/.ssh") || !slices.Contains(p, "/home/me/.aws") {
		t.Errorf("%v", p)
	}
}

// TestFilter: what a program without capabilities may call, and what one with some.
func TestFilter(t *testing.T) {
	plain, admin := Filter("amd64", nil), Filter("amd64", []string{"CAP_SYS_ADMIN", "CAP_AUDIT_WRITE"})
	for name, want := range map[string][2]string{
		"read": {"allow", "allow"}, "clone3": {"allow", "allow"}, "mount": {"allow", "allow"}, "kexec_load": {"1", "1"}, "sethostname": {"1", "allow"},
		"bpf": {"1", "allow"}, "init_module": {"1", "1"}, "perf_event_open": {"1", "allow"}, "io_uring_setup": {"", ""}, "add_key": {"", ""},
	} {
		if got := [2]string{answer(plain, name), answer(admin, name)}; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	riscv := Filter("riscv64", nil)
	if !slices.Equal(riscv.Architectures, []specs.Arch{specs.ArchRISCV64}) || answer(riscv, "riscv_hwprobe") != "allow" || answer(plain, "riscv_hwprobe") != "" {
		t.Errorf("riscv64: %v, riscv_hwprobe: %q, %q", riscv.Architectures, answer(riscv, "riscv_hwprobe"), answer(plain, "riscv_hwprobe"))
	}
	for _, rule := range plain.Syscalls[:2] {
		names := slices.Sorted(slices.Values(rule.Names))
		if len(slices.Compact(names)) != len(rule.Names) {
			t.Errorf("%s has names twice", rule.Action)
		}
	}
	if n, m := len(plain.Syscalls), len(admin.Syscalls); n != m+1 || *plain.DefaultErrnoRet != 38 {
		t.Errorf("%d and %d rules", n, m)
	}
}

// answer is what a profile says to a call, whatever its arguments.
func answer(s *specs.LinuxSeccomp, name string) string {
	for _, r := range s.Syscalls {
		switch {
		case !slices.Contains(r.Names, name):
		case r.Action == specs.ActAllow:
			return "allow"
		default:
			return string(rune('0' + *r.ErrnoRet))
		}
	}
	return ""
}

// TestProfile: a profile in docker's format, with what holds for some only.
func TestProfile(t *testing.T) {
	p, err := ParseProfile([]byte(`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
		"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_AARCH64"}, {"architecture": "SCMP_ARCH_RISCV64"}],
		"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
			{"name": "write", "action": "SCMP_ACT_ALLOW"},
			{"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
			{"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_CHROOT"]}},
			{"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["arm64"]}},
			{"names": ["s390_runtime_instr"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.config("riscv64", nil).Architectures; len(got) == 0 || got[0] != specs.ArchRISCV64 {
		t.Errorf("riscv64: %v", got)
	}
	for _, c := range [][]string{{"read", "write", "bpf"}, {"read", "write", "chroot"}} {
		var capabilities []string
		if slices.Contains(c, "chroot") {
			capabilities = []string{"CAP_SYS_CHROOT"}
		}
		s := p.config("arm64", capabilities)
		var names []string
		for _, r := range s.Syscalls {
			names = append(names, r.Names...)
		}
		if !slices.Equal(names, c) || len(s.Architectures) == 0 || s.Architectures[0] != native("arm64") {
			t.Errorf("%v: %v, %v", c, names, s.Architectures)
		}
		if text, err := json.Marshal(s); err != nil || strings.Contains(string(text), "archMap") || strings.Contains(string(text), "includes") {
			t.Errorf("%s, %v", text, err)
		}
	}
	for _, text := range []string{`{}`, `[]`, `{"defaultAction": 1}`, `x`} {
		if _, err := ParseProfile([]byte(text)); err == nil {
			t.Errorf("%s is a profile", text)
		}
	}
}

// TestHeld: links to keys, and the directories on the way to a link, are mounts of their own where the program may
// write, and nowhere else; those in the current directory are so once.
func TestHeld(t *testing.T) {
	p := Person{Home: "/home/me", Visible: "rw", Keys: []string{"/mnt/ssh", "/home/me/dots/aws"},
		Links: []string{"/home/me/.ssh", "/home/me/hop/kube", "/home/me/here/a/b", "/mnt/link"}}
	for want, r := range map[string]Rootfs{
		"/home/me rw, /home/me/dots, /home/me/hop, /home/me/.ssh src-nofollow dest-nofollow, /home/me/hop/kube src-nofollow dest-nofollow, " +
			"/home/me/here, /home/me/here/a, /home/me/here/a/b src-nofollow dest-nofollow": {Path: "/", Person: p, Here: "/home/me/here"},
		"/home/me ro": {Path: "/", Person: func() Person { p := p; p.Visible = "ro"; return p }()},
	} {
		s, err := r.Config()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range s.Mounts {
			if m.Type == "bind" && m.Source == m.Destination {
				got = append(got, strings.Join(append([]string{m.Source}, m.Options[1:]...), " "))
			}
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%s\nwant %s", text, want)
		}
	}
}
