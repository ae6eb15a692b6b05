package look

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/doctor"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/userns"
)

// TestMain lets the test be what it starts in namespaces of its own.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "attempt" {
		if Attempt() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// tree makes a host's files: a name that ends in / is a directory, one that ends in *
// a program.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		at, mode := filepath.Join(root, name), os.FileMode(0o644)
		if name[len(name)-1] == '*' {
			at, mode = at[:len(at)-1], 0o755
		}
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if err == nil && name[len(name)-1] == '/' {
			err = os.MkdirAll(at, 0o755)
		} else if err == nil {
			err = os.WriteFile(at, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func looker(root string, env ...string) *Looker {
	return &Looker{Homerun: "/nowhere/bin/homerun", Files: root, Self: []string{"/proc/self/exe", "attempt"}, Getenv: func(name string) string {
		for i := 0; i < len(env); i += 2 {
			if env[i] == name {
				return env[i+1]
			}
		}
		return ""
	}}
}

// TestPackages: who installs, and what it has for installed.
func TestPackages(t *testing.T) {
	for _, test := range []struct {
		files map[string]string
		want  doctor.Packages
	}{
		{map[string]string{"usr/bin/apt-get*": "", "var/lib/dpkg/info/passt.list": ""}, doctor.Packages{Manager: "apt-get", Installed: []string{"passt"}}},
		{map[string]string{"usr/bin/dnf*": ""}, doctor.Packages{Manager: "dnf"}},
		{map[string]string{"usr/bin/pacman": "", "sbin/apk*": ""}, doctor.Packages{Manager: "apk"}},
		{nil, doctor.Packages{}},
	} {
		got := looker(tree(t, test.files)).packages(context.Background())
		if got.Manager != test.want.Manager || !slices.Equal(got.Installed, test.want.Installed) {
			t.Errorf("%+v, want %+v", got, test.want)
		}
	}
}

// TestShared: whose ids the caller's are, too.
func TestShared(t *testing.T) {
	root := tree(t, map[string]string{"etc/subuid": "dev:100000:65536\neve:165535:1\n", "etc/subgid": "dev:100000:65536\neve:165536:65536\n"})
	f := &host.Facts{Process: host.Process{UID: 1000}, Subordinate: &host.Subordinate{Login: "dev"}}
	want := doctor.Shared{Own: userns.Grant{Line: 1, Owner: "dev", Range: host.Range{Start: 100000, Size: 65536}},
		Other: userns.Grant{Line: 2, Owner: "eve", Range: host.Range{Start: 165535, Size: 1}}, Free: 165536}
	if got := looker(root).shared(f); len(got) != 1 || got[userns.UID] != want {
		t.Errorf("%+v", got)
	}
	f.Subordinate.Source = "getsubids (nsswitch: sss)"
	if got := looker(root).shared(f); len(got) != 0 {
		t.Errorf("not by these files: %+v", got)
	}
}

// TestSession: whose directories these are, and who stays.
func TestSession(t *testing.T) {
	uid := os.Getuid()
	root := tree(t, map[string]string{"run/user/1000/": "", "run/x": "", "var/lib/systemd/linger/dev": "", "run/systemd/seats/": "", "run/systemd/system/": ""})
	f := &host.Facts{Process: host.Process{UID: uid}, UserNamespace: host.UserNamespace{OwnerUID: 1000}, Subordinate: &host.Subordinate{Login: "dev"}}
	s := looker(root, "XDG_RUNTIME_DIR", "/run/x").session(f)
	if want := (doctor.Session{Given: "/run/x", GivenErrno: "ENOTDIR", Usual: "/run/user/1000", Linger: true, Logind: true}); s != want {
		t.Errorf("%+v", s)
	}
	f.Process.UID, f.Subordinate.Login = uid+1, "other"
	s = looker(root, "XDG_RUNTIME_DIR", "/run/none").session(f)
	if s.GivenErrno != "ENOENT" || s.UsualErrno != "EPERM" || s.Linger {
		t.Errorf("%+v", s)
	}
}

// TestCgroups: where a user's containers are limited, and by what.
func TestCgroups(t *testing.T) {
	at := "sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/"
	root := tree(t, map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpu io memory\n", at + "cgroup.controllers": "memory pids\n",
		"sys/fs/cgroup/unit/cgroup.controllers": "pids\n"})
	f := &host.Facts{Process: host.Process{UID: 1000}, UserNamespace: host.UserNamespace{OwnerUID: 1000, Initial: true},
		Cgroup: &host.Cgroup{Unified: true, MountPoint: "/sys/fs/cgroup"}}
	c := looker(root).cgroups(f)
	if c.Service != "user@1000.service" || !slices.Equal(c.Delegated, []string{"memory", "pids"}) || !slices.Equal(c.Kernel, []string{"cpu", "io", "memory"}) {
		t.Errorf("%+v", c)
	}
	f.UserNamespace.OwnerUID = 5
	f.Cgroup.Delegation = &host.Delegation{Unit: "/unit", Top: "/"}
	if c = looker(root).cgroups(f); c.Path != "/unit" || c.Service != "" || !slices.Equal(c.Delegated, []string{"pids"}) {
		t.Errorf("%+v", c)
	}
	f.Process.UID = 0
	if c = looker(root).cgroups(f); c.Path != "/" || len(c.Delegated) != 3 {
		t.Errorf("%+v", c)
	}
	f.Cgroup.Unified = false
	if c = looker(root).cgroups(f); c.Path != "" {
		t.Errorf("%+v", c)
	}
}

// TestPrograms: their versions, also of one that does not know it.
func TestPrograms(t *testing.T) {
	root := tree(t, map[string]string{"usr/bin/pasta*": "#!/bin/sh\necho pasta unknown version\necho more\n", "usr/bin/slirp4netns*": "#!/bin/sh\nexit 1\n",
		"proc/sys/net/ipv4/ping_group_range": "0\t7\n"})
	n := looker(root).network(context.Background())
	if n.Pasta.Path != "/usr/bin/pasta" || n.Slirp.Version != "" || n.Slirp.Path == "" || n.Slirp.Trouble != "exit status 1" || n.Pasta.Trouble != "" || n.TunDriver || n.Nsenter.Path != "" || n.Tun != "ENOENT" || n.PingGroups != "0\t7" {
		t.Errorf("%+v", n)
	}
}

// TestHelpers: one for another homerun is named, not taken.
func TestHelpers(t *testing.T) {
	root := tree(t, map[string]string{"usr/libexec/homerun/homerun-net*": "", "home/x/.local/bin/homerun-seccomp": ""})
	h := looker(root, "HOME", "/home/x").helpers("homerun-net", "homerun-seccomp")
	if n := h["homerun-net"]; n.Path != "" || n.Elsewhere != "/usr/libexec/homerun/homerun-net" || len(n.Places) != 2 || n.Places[1] != "/nowhere/libexec/homerun/homerun-net" {
		t.Errorf("%+v", n)
	}
	if s := h["homerun-seccomp"]; s.Elsewhere != "" { // it cannot be executed
		t.Errorf("%+v", s)
	}
}

// TestStateRoot: what is there, and what is above where nothing is.
func TestStateRoot(t *testing.T) {
	dir := t.TempDir()
	l := looker("/")
	l.StateRoot = dir + "/a/b"
	if r := l.root(); r.There || r.Errno != "" || r.Full {
		t.Errorf("%+v", r)
	}
	l.StateRoot = dir
	if r := l.root(); !r.There || !r.Directory || r.Owner != os.Getuid() {
		t.Errorf("%+v", r)
	}
	if err := os.WriteFile(dir+"/f", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if l.StateRoot = dir + "/f"; l.root().Directory {
		t.Error("a file is a directory")
	}
	if l.StateRoot = dir + "/f/g"; l.root().Errno != "ENOTDIR" {
		t.Errorf("%+v", l.root())
	}
	if l.StateRoot = "/proc/none"; l.root().Mount != "/proc" {
		t.Errorf("%+v", l.root())
	}
}

// TestAttempt: this host has what homerun's own tests need.
func TestAttempt(t *testing.T) {
	a, found := looker("/").attempt(context.Background())
	if a != (doctor.Attempt{}) || found["mount_setattr"] != "" || len(found) != 3 {
		t.Errorf("%+v %v", a, found)
	}
	l := looker("/")
	l.Self = []string{"/nowhere"}
	if a, _ = l.attempt(context.Background()); a.Errno != "ENOENT" {
		t.Errorf("%+v", a)
	}
	l.Self = []string{"/bin/true"}
	if a, _ = l.attempt(context.Background()); a.Errno == "" {
		t.Errorf("%+v", a)
	}
}

// TestFeatures: what is asked for leaves nothing, and is answered.
func TestFeatures(t *testing.T) {
	h := &doctor.Host{Features: map[string]string{}, Facts: &host.Facts{Cgroup: &host.Cgroup{}}}
	looker(tree(t, map[string]string{"proc/sys/kernel/seccomp/actions_avail": "kill_process user_notif"})).features(h)
	if h.Features["openat2"] != "" || h.Features["pidfd_open"] != "" || h.Features["clone-into-cgroup"] != "" || h.Features["seccomp-notify"] != "" ||
		h.Features["time-namespaces"] != "ENOENT" || memfd() != "" {
		t.Errorf("%v", h.Features)
	}
	if lacks(unix.ENOSYS) != "ENOSYS" || lacks(unix.EBADF) != "" {
		t.Error("lacks")
	}
}

// TestCgroupKill: it is looked for in a cgroup that is there. That of a service manager
// which has ended is not.
func TestCgroupKill(t *testing.T) {
	for file, want := range map[string]string{"": "-", "sys/fs/cgroup/a/cgroup.procs": "ENOENT", "sys/fs/cgroup/b/cgroup.procs": "-"} {
		h := &doctor.Host{Features: map[string]string{}, Facts: &host.Facts{Cgroup: &host.Cgroup{Unified: true, MountPoint: "/sys/fs/cgroup"}}}
		h.Cgroups.Path = "/a"
		looker(tree(t, map[string]string{cmp.Or(file, "etc/x"): ""})).features(h)
		if got, tried := h.Features["cgroup-kill"]; tried != (want != "-") || tried && got != want {
			t.Errorf("%q: %q %v, want %q", file, got, tried, want)
		}
	}
}

// TestLook: everything at once is judged, and is JSON.
func TestLook(t *testing.T) {
	l := looker("/", "XDG_RUNTIME_DIR", "/nowhere")
	h, err := l.Look(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	rows := doctor.Examine(h)
	if text, err := json.Marshal(rows); err != nil || len(rows) < 10 {
		t.Errorf("%s %v", text, err)
	}
}

const debug = `homerun: debug:    1.000 ms  no cgroup: cgroup: this host has cgroup v1
homerun: debug:    2.000 ms  start-stage("homerun: init run")
homerun: debug:    3.000 ms  compile-rest()
homerun: note
homerun: debug:    5.000 ms  answer mapped  // step 7 goes on
homerun: debug:    6.000 ms  start-scope("x")
homerun: debug:    6.500 ms  answer recorded
homerun: debug:    8.500 ms  await-program()
homerun: debug:   12.000 ms  fchmod(".", 05700)
homerun: debug:   13.000 ms  kill the stage
homerun: run x: no: ENOSPC
`

// TestPhases: each step counts for the phase that it begins in.
func TestPhases(t *testing.T) {
	want := []doctor.Phase{{Name: "compile", Milliseconds: 2}, {Name: "user namespace", Milliseconds: 3}, {Name: "cgroup", Milliseconds: 0.5},
		{Name: "mounts", Milliseconds: 6.5}, {Name: "program", Milliseconds: 1}}
	if got := phases(debug); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := phases("homerun: debug:   90.000 ms  start-stage()\nhomerun: debug:   99.000 ms  kill the stage\n" + debug); !slices.Equal(got, want) {
		t.Errorf("a second start after one that failed: %v, want %v", got, want)
	}
	if got := complaint(debug); got != "run x: no: ENOSPC" {
		t.Errorf("%q", got)
	}
}

// TestTest: what the command says is told, and a state root that was not there goes.
func TestTest(t *testing.T) {
	root := tree(t, map[string]string{"good*": "#!/bin/sh\nmkdir -p $2\necho 'homerun: debug:  2.5 ms  start-stage' >&2\n",
		"bad*": "#!/bin/sh\necho homerun: run: no >&2\nexit 1\n"})
	l := looker("/")
	l.StateRoot = filepath.Join(root, "state")
	l.Homerun = root + "/good"
	got := l.Test(context.Background(), doctor.Root{Path: l.StateRoot})
	if _, err := os.Stat(l.StateRoot); !os.IsNotExist(err) || !got.Done || got.Trouble != "" || got.Phases[0].Milliseconds != 2.5 {
		t.Errorf("%v %+v", err, got)
	}
	l.Homerun = root + "/bad"
	if got = l.Test(context.Background(), doctor.Root{}); got.Trouble != "run: no" {
		t.Errorf("%+v", got)
	}
	l.Homerun = root + "/none"
	if got = l.Test(context.Background(), doctor.Root{}); got.Trouble == "" {
		t.Errorf("%+v", got)
	}
}

// TestClosed: a helper that nobody may execute is told from one that is not there, and
// so is a file of ids that this user may not read.
func TestClosed(t *testing.T) {
	root := tree(t, map[string]string{"usr/bin/newuidmap": "", "etc/subuid": ""})
	l := looker(root)
	if got := l.setter(userns.UID, "").Closed; got != "/usr/bin/newuidmap" {
		t.Error(got)
	}
	if got := l.setter(userns.GID, "").Closed; got != "" {
		t.Error(got)
	}
	if l.opens("/etc/subuid", unix.O_RDONLY) != "" || l.opens("/etc/subgid", unix.O_RDONLY) != "ENOENT" {
		t.Error(l.opens("/etc/subuid", unix.O_RDONLY), l.opens("/etc/subgid", unix.O_RDONLY))
	}
}

// TestAside: what was moved away before stays where it is.
func TestAside(t *testing.T) {
	root := filepath.Join(t.TempDir(), "homerun")
	for _, want := range []string{".not-mine", ".not-mine.2", ".not-mine.3"} {
		if got := aside(root); got != root+want {
			t.Fatal(got)
		}
		if err := os.WriteFile(root+want, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
