package userns

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
)

// m is a mapping: container id, host id, size.
func m(c, h, n uint32) host.Mapping { return host.Mapping{ContainerID: c, HostID: h, Size: n} }

func ms(mappings ...host.Mapping) []host.Mapping { return mappings }

const allCapabilities = 1<<41 - 1

// user is the facts of uid 1000 with one range and both helpers.
func user() *host.Facts {
	f := &host.Facts{}
	f.UserNamespace.Initial = true
	f.Process.UID, f.Process.GID = 1000, 1001
	f.Subordinate = &host.Subordinate{
		UIDs: []host.Range{{Start: 100000, Size: 65536}}, GIDs: []host.Range{{Start: 200000, Size: 65536}},
		NewUIDMap: "/usr/bin/newuidmap", NewGIDMap: "/usr/bin/newgidmap", Login: "alice",
	}
	return f
}

// nested is root in rootless podman's namespace.
func nested() *host.Facts {
	f := &host.Facts{}
	f.Process.Capabilities = allCapabilities
	f.UserNamespace.UIDMap = ms(m(0, 1000, 1), m(1, 100000, 65536))
	f.UserNamespace.GIDMap = f.UserNamespace.UIDMap
	return f
}

func with(f *host.Facts, change func(*host.Facts)) *host.Facts {
	change(f)
	return f
}

func TestDefault(t *testing.T) {
	for _, test := range []struct {
		name  string
		facts *host.Facts
		uids  []host.Mapping
		gids  []host.Mapping
		note  string
	}{
		{"plain", user(), ms(m(0, 1000, 1), m(1, 100000, 65536)), ms(m(0, 1001, 1), m(1, 200000, 65536)), ""},
		{"two ranges", with(user(), func(f *host.Facts) {
			f.Subordinate.UIDs = append(f.Subordinate.UIDs, host.Range{Start: 300000, Size: 10})
		}), ms(m(0, 1000, 1), m(1, 100000, 65536), m(65537, 300000, 10)), ms(m(0, 1001, 1), m(1, 200000, 65536)),
			"65547 uids but 65537 gids"},
		{"overlap and own id", with(user(), func(f *host.Facts) {
			f.Subordinate.UIDs = []host.Range{{Start: 999, Size: 4}, {Start: 1001, Size: 3}, {Start: 999, Size: 4}}
			f.Subordinate.GIDs = []host.Range{{Start: 5, Size: 4}}
		}), ms(m(0, 1000, 1), m(1, 999, 1), m(2, 1001, 2), m(4, 1003, 1)), ms(m(0, 1001, 1), m(1, 5, 4)), ""},
		{"no range", with(user(), func(f *host.Facts) { f.Subordinate.GIDs = nil }),
			ms(m(0, 1000, 1)), ms(m(0, 1001, 1)), `/etc/subgid has no range for "alice"`},
		{"no helper", with(user(), func(f *host.Facts) { f.Subordinate.NewGIDMap = "" }),
			ms(m(0, 1000, 1)), ms(m(0, 1001, 1)), "newgidmap is not installed"},
		{"no new privileges", with(user(), func(f *host.Facts) { f.Process.NoNewPrivileges = true }),
			ms(m(0, 1000, 1)), ms(m(0, 1001, 1)), "no_new_privs is set"},
		{"privileged needs no helper", with(user(), func(f *host.Facts) {
			f.Process.Capabilities = allCapabilities
			f.Process.NoNewPrivileges = true
			f.Subordinate.NewUIDMap, f.Subordinate.NewGIDMap = "", ""
		}), ms(m(0, 1000, 1), m(1, 100000, 65536)), ms(m(0, 1001, 1), m(1, 200000, 65536)), ""},
		{"nested root", nested(), ms(m(0, 0, 1), m(1, 1, 65536)), ms(m(0, 0, 1), m(1, 1, 65536)), ""},
		{"nested user whose range is elsewhere", with(user(), func(f *host.Facts) {
			f.UserNamespace = host.UserNamespace{UIDMap: ms(m(0, 0, 2000)), GIDMap: ms(m(0, 0, 2000))}
		}), ms(m(0, 1000, 1)), ms(m(0, 1001, 1)), "has none of the ids that /etc/subuid grants"},
		{"nested user with part of the range", with(user(), func(f *host.Facts) {
			f.UserNamespace = host.UserNamespace{UIDMap: ms(m(0, 0, 2000), m(100000, 5, 10)), GIDMap: ms(m(0, 0, 200010))}
		}), ms(m(0, 1000, 1), m(1, 100000, 10)), ms(m(0, 1001, 1), m(1, 200000, 10)), ""},
		{"greedy", with(user(), func(f *host.Facts) {
			f.Subordinate.UIDs = []host.Range{{Start: 2, Size: math.MaxUint32}}
			f.Subordinate.GIDs = []host.Range{{Start: 2, Size: math.MaxUint32}}
		}), ms(m(0, 1000, 1), m(1, 2, 998), m(999, 1001, 4294966294)), ms(m(0, 1001, 1), m(1, 2, 999), m(1000, 1002, 4294966293)), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			uids, gids, notes, err := Default(test.facts)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(uids, test.uids) || !reflect.DeepEqual(gids, test.gids) {
				t.Errorf("got %v, %v", uids, gids)
			}
			if got := strings.Join(notes, "|"); (got == "") != (test.note == "") || !strings.Contains(got, test.note) {
				t.Errorf("note is %q; want %q", got, test.note)
			}
			if _, err := Resolve(uids, gids, test.facts); err != nil {
				t.Errorf("what Default gives does not resolve: %v", err)
			}
		})
	}
}

func TestDefaultOverflowID(t *testing.T) {
	f := user()
	f.UserNamespace = host.UserNamespace{UIDMap: ms(m(0, 0, 1)), GIDMap: ms(m(0, 0, 1))}
	_, _, _, err := Default(f)
	wantError(t, err, CodeParent, "linux.uidMappings: host uid 1000 is not mapped in the user namespace that the runtime is in (it has 0-0)")
}

func TestResolveMethods(t *testing.T) {
	many := ms(m(0, 1000, 1), m(1, 100000, 65536))
	manyGIDs := ms(m(0, 1001, 1), m(1, 200000, 65536))
	for _, test := range []struct {
		name     string
		facts    *host.Facts
		uids     []host.Mapping
		gids     []host.Mapping
		uid, gid Method
		deny     bool
	}{
		{"helpers", user(), many, manyGIDs, Helper, Helper, false},
		{"single", user(), ms(m(7, 1000, 1)), ms(m(0, 1001, 1)), Self, Self, true},
		{"mixed", user(), many, ms(m(0, 1001, 1)), Helper, Self, true},
		{"single id of the range", user(), ms(m(0, 100005, 1)), ms(m(0, 1001, 1)), Helper, Self, true},
		{"range without the own id", user(), ms(m(0, 100000, 65536)), manyGIDs, Helper, Helper, false},
		{"root", with(user(), func(f *host.Facts) { f.Process.Capabilities = allCapabilities }),
			ms(m(0, 5, 10)), ms(m(0, 1001, 1)), Privileged, Privileged, false},
		{"setuid only", with(user(), func(f *host.Facts) { f.Process.Capabilities = 1 << capSetUID }),
			ms(m(0, 5, 10)), ms(m(0, 1001, 1)), Privileged, Self, true},
		{"no_new_privs and single", with(user(), func(f *host.Facts) { f.Process.NoNewPrivileges = true }),
			ms(m(0, 1000, 1)), ms(m(0, 1001, 1)), Self, Self, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Resolve(test.uids, test.gids, test.facts)
			if err != nil {
				t.Fatal(err)
			}
			if got.UID.Method != test.uid || got.GID.Method != test.gid || got.GID.DenySetgroups != test.deny || got.UID.DenySetgroups {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestTextAndArgs(t *testing.T) {
	got, err := Resolve(ms(m(0, 1000, 1), m(1, 100000, 65536)), ms(m(0, 1001, 1)), user())
	if err != nil {
		t.Fatal(err)
	}
	if text := got.UID.Text(); text != "0 1000 1\n1 100000 65536\n" {
		t.Errorf("text is %q", text)
	}
	want := []string{"/usr/bin/newuidmap", "4711", "0", "1000", "1", "1", "100000", "65536"}
	if args := got.UID.Args(4711); !reflect.DeepEqual(args, want) {
		t.Errorf("args are %q", args)
	}
	if text := got.GID.Text(); text != "0 1001 1\n" {
		t.Errorf("text is %q", text)
	}
}

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		name         string
		asked, split []host.Mapping
	}{
		{"podman#8816", ms(m(0, 0, 65537)), ms(m(0, 0, 1), m(1, 1, 65536))},
		{"inside one", ms(m(0, 5, 10)), ms(m(0, 5, 10))},
		{"offset", ms(m(1000, 0, 1), m(0, 1, 1000), m(1001, 1001, 5)), ms(m(1000, 0, 1), m(0, 1, 1000), m(1001, 1001, 5))},
	} {
		got, err := Resolve(test.asked, test.asked, nested())
		if err != nil || !reflect.DeepEqual(got.UID.Mappings, test.split) {
			t.Errorf("%s: got %v, %v; want %v", test.name, got.UID.Mappings, err, test.split)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	ok := ms(m(0, 1001, 1))
	long := func(n int, first, step uint32) (out []host.Mapping) {
		for i := range uint32(n) {
			out = append(out, m(first+step*i, first+step*i, 1))
		}
		return out
	}
	root := with(user(), func(f *host.Facts) { f.Process.Capabilities = allCapabilities })
	for _, test := range []struct {
		facts *host.Facts
		uids  []host.Mapping
		code  string
		text  string
		hint  string
	}{
		{user(), nil, CodeMapping, "linux.uidMappings: a user namespace needs at least one mapping", ""},
		{user(), ms(m(0, 1, 0)), CodeMapping, "linux.uidMappings[0]: size is 0", ""},
		{user(), ms(m(1, 0, math.MaxUint32)), CodeMapping, "linux.uidMappings[0]: container ids go past 4294967294, the last id", ""},
		{user(), ms(m(0, math.MaxUint32, 1)), CodeMapping, "linux.uidMappings[0]: host ids go past 4294967294, the last id", ""},
		{user(), ms(m(0, 1000, 1), m(0, 5, 1)), CodeMapping, "linux.uidMappings[1]: container ids 0-0 overlap those of linux.uidMappings[0], 0-0", ""},
		{user(), ms(m(0, 10, 5), m(9, 14, 1)), CodeMapping, "linux.uidMappings[1]: host ids 14-14 overlap those of linux.uidMappings[0], 10-14", ""},
		{root, long(341, 0, 2), CodeMapping, "linux.uidMappings: 341 lines, and the kernel takes at most 340", ""},
		{root, long(200, 1000000000, 2), CodeMapping, "linux.uidMappings: 4800 bytes as text, and the kernel takes at most 4095", ""},
		{user(), ms(m(0, 1000, 1), m(1, 300000, 65536)), CodeRange,
			`linux.uidMappings[1]: host ids 300000-365535 are not granted to "alice" in /etc/subuid (granted: 100000-165535): operation not permitted`,
			"map uids that are granted (100000-165535), or none but the own one"},
		{user(), ms(m(0, 100000, 65537)), CodeRange,
			`linux.uidMappings[0]: host ids 100000-165536 are not granted to "alice" in /etc/subuid (granted: 100000-165535): operation not permitted`, "map uids that are granted"},
		{with(user(), func(f *host.Facts) { f.Subordinate.UIDs, f.Subordinate.Login = nil, "" }), ms(m(0, 5, 2)), CodeRange,
			"linux.uidMappings[0]: host ids 5-6 are not granted to uid 1000 in /etc/subuid (granted: none): operation not permitted",
			"ask the host's administrator for a range of 65536 uids in /etc/subuid that nobody else has"},
		{with(user(), func(f *host.Facts) { f.Subordinate.UIDTrouble = host.TroubleBounding }), ms(m(0, 100000, 2)), CodeHelper,
			"linux.uidMappings: more than the own uid needs newuidmap, and /usr/bin/newuidmap gains no privilege: " +
				"the capability bounding set lacks CAP_SYS_ADMIN, CAP_SETUID or CAP_SETGID: operation not permitted", "--cap-add SYS_ADMIN"},
		{with(user(), func(f *host.Facts) { f.Subordinate.UIDTrouble = host.TroubleNosuid }), ms(m(0, 100000, 2)), CodeHelper,
			"linux.uidMappings: more than the own uid needs newuidmap, and /usr/bin/newuidmap is on a file system mounted nosuid: operation not permitted", "remount it"},
		{with(user(), func(f *host.Facts) { f.Subordinate.UIDTrouble = host.TroubleNobody }), ms(m(0, 100000, 2)), CodeHelper,
			"linux.uidMappings: more than the own uid needs newuidmap, and /usr/bin/newuidmap wants a login name, and uid 1000 has none: operation not permitted", "/etc/passwd"},
		{with(user(), func(f *host.Facts) { f.Subordinate.NewUIDMap = "" }), ms(m(0, 100000, 2)), CodeHelper,
			"linux.uidMappings: more than the own uid needs newuidmap, which is in none of " + helperDirectories, "apt install uidmap"},
		{with(user(), func(f *host.Facts) { f.Process.NoNewPrivileges = true }), ms(m(0, 100000, 2)), CodeNoNewPrivs,
			"linux.uidMappings: more than the own uid needs newuidmap, which gains no privilege because no_new_privs is set: operation not permitted", "NoNewPrivileges="},
		{nested(), ms(m(0, 65530, 10)), CodeParent,
			"linux.uidMappings[0]: host uid 65537 is not mapped in the user namespace that the runtime is in (it has 0-0, 1-65536)", "/proc/self/uid_map"},
		{with(nested(), func(f *host.Facts) { f.Process.Capabilities &^= 1 << capSetFCap }), ms(m(0, 0, 1)), CodeSetFCap,
			"linux.uidMappings: uid 0 of the runtime's user namespace cannot be mapped without CAP_SETFCAP: operation not permitted", "SETFCAP"},
	} {
		gids := ok
		if !test.facts.UserNamespace.Initial {
			gids = ms(m(0, 0, 1))
		}
		_, err := Resolve(test.uids, gids, test.facts)
		if e := wantError(t, err, test.code, test.text); e != nil && !strings.Contains(e.Hint, test.hint) {
			t.Errorf("hint is %q; want %q", e.Hint, test.hint)
		}
	}
}

func wantError(t *testing.T, err error, code, text string) *fault.Error {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Code != code || e.Error() != text {
		t.Errorf("got %v;\nwant %s %s", err, code, text)
		return nil
	}
	return e
}

// TestGrantedByPieces: newuidmap takes a line that two granted ranges cover
// together, and so do we.
func TestGrantedByPieces(t *testing.T) {
	f := with(user(), func(f *host.Facts) {
		f.Subordinate.UIDs = []host.Range{{Start: 110, Size: 10}, {Start: 100, Size: 10}}
	})
	if _, err := Resolve(ms(m(0, 100, 20)), ms(m(0, 1001, 1)), f); err != nil {
		t.Error(err)
	}
}

func TestTranslate(t *testing.T) {
	mappings := ms(m(0, 1000, 1), m(1, 100000, 65536), m(4294967290, 7, 4))
	for id, want := range map[uint32]int64{0: 1000, 1: 100000, 65536: 165535, 65537: -1, 4294967293: 10, 4294967294: -1, 4294967295: -1} {
		got, ok := ToHost(id, mappings)
		if ok != (want >= 0) || ok && int64(got) != want {
			t.Errorf("ToHost(%d) = %d, %v", id, got, ok)
		}
		if ok {
			if back, _ := ToContainer(got, mappings); back != id {
				t.Errorf("ToContainer(%d) = %d", got, back)
			}
		}
	}
	if Mapped(0, nil) {
		t.Error("an empty map maps 0")
	}
}

func TestUnmapped(t *testing.T) {
	err := Unmapped("process.user.uid", UID, 70000, ms(m(0, 1000, 1), m(1, 100000, 65536)))
	want := "process.user.uid: uid 70000 is not mapped in the user namespace (mapped: 0-0, 1-65536)"
	if err.Error() != want {
		t.Errorf("got %q; want %q", err, want)
	}
}

func TestUnavailable(t *testing.T) {
	for _, test := range []struct {
		errno      string
		kernel     host.Kernel
		text, hint string
	}{
		{"ENOSPC", host.Kernel{MaxUserNamespaces: 3}, "user.max_user_namespaces is 3 and used up, or another limit below /proc/sys/user is, or namespaces are nested more than 32 deep: no space left on device (ENOSPC)", "raise the one that is too small"},
		{"EPERM", host.Kernel{MaxUserNamespaces: 3, UserNamespaceRestricted: "kernel.unprivileged_userns_clone"}, "forbidden by kernel.unprivileged_userns_clone=0: operation not permitted (EPERM)", "kernel.unprivileged_userns_clone=1"},
		{"EACCES", host.Kernel{MaxUserNamespaces: 3, UserNamespaceRestricted: "kernel.apparmor_restrict_unprivileged_userns"}, "AppArmor restricts unprivileged user namespaces (kernel.apparmor_restrict_unprivileged_userns=1): permission denied (EACCES)", "apparmor_parser -r /etc/apparmor.d/homerun\nabi <abi/4.0>"},
		{"EINVAL", host.Kernel{}, "CONFIG_USER_NS", ""},
		{"EPERM", host.Kernel{}, "user.max_user_namespaces is 0", "sysctl"},
		{"EPERM", host.Kernel{MaxUserNamespaces: 3}, "user namespace: operation not permitted (EPERM)", "seccomp"},
	} {
		var e *fault.Error
		if !errors.As(Unavailable(test.errno, &test.kernel, "/usr/bin/homerun"), &e) {
			t.Fatal("not a *fault.Error")
		}
		if !strings.Contains(e.Error(), test.text) || !strings.Contains(e.Hint, test.hint) {
			t.Errorf("%s: got %q, hint %q", test.errno, e.Error(), e.Hint)
		}
	}
}

func TestAppArmorProfile(t *testing.T) {
	want := "abi <abi/4.0>,\ninclude <tunables/global>\nprofile homerun \"/home/a b/\\*/homerun\" flags=(unconfined) {\n" +
		"  userns,\n  include if exists <local/homerun>\n}\n"
	if got := AppArmorProfile("/home/a b/*/homerun"); got != want {
		t.Errorf("got %q", got)
	}
}

// A hint gives nobody ids that somebody else has, or that are the host's: not
// those that config.json asked for, and not the usual range when it is taken.
// Tried: the host's root, another login, the ids of a range that is granted to
// another, both kinds, with and without a login name.
func TestHintGrant(t *testing.T) {
	free := func(change func(s *host.Subordinate)) *host.Facts {
		f := user()
		f.Subordinate.UIDs, f.Subordinate.FreeUID = nil, 231072
		change(f.Subordinate)
		return f
	}
	same := func(*host.Subordinate) {}
	for _, test := range []struct {
		facts *host.Facts
		asked host.Mapping
		want  string
	}{
		{free(same), m(0, 0, 1), "sudo usermod --add-subuids 231072-296607 alice"},
		{free(same), m(0, 1001, 1), "sudo usermod --add-subuids 231072-296607 alice"},
		{free(same), m(0, 100000, 65536), "sudo usermod --add-subuids 231072-296607 alice"},
		{free(func(s *host.Subordinate) { s.Login = "" }), m(0, 0, 1), "add the line 1000:231072:65536 to /etc/subuid"},
		{free(func(s *host.Subordinate) { s.FreeUID = 0 }), m(0, 0, 1),
			"ask the host's administrator for a range of 65536 uids in /etc/subuid that nobody else has"},
		{free(func(s *host.Subordinate) { s.UIDLine = 3 }), m(0, 100000, 65536),
			"line 3 of /etc/subuid is not NAME:FIRST:COUNT; it may end with a carriage return or a comment"},
		{user(), m(0, 0, 1), "map uids that are granted (100000-165535), or none but the own one"},
	} {
		_, err := Resolve(ms(test.asked), ms(m(0, 1000, 1)), test.facts)
		var e *fault.Error
		if !errors.As(err, &e) || e.Hint != test.want {
			t.Errorf("%v: %v: hint is %q; want %q", test.asked, err, e.Hint, test.want)
		}
	}
}

// The free range comes after all that is granted to anybody, and has no login in
// it; a line of the caller's that cannot be read is told.
func TestSurvey(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		uids []uint32
		free uint32
		line int
	}{
		"empty":               {"", nil, 100000, 0},
		"others":              {"bob:100000:65536\ncarol:165536:65536\n", nil, 231072, 0},
		"others, unordered":   {"carol:165536:65536\nbob:100000:65536\n", nil, 231072, 0},
		"low":                 {"bob:5000:10\n", nil, 100000, 0},
		"a login above":       {"bob:100000:65536\n", []uint32{0, 1000, 65534, 170000, math.MaxUint32 - 1}, 170001, 0},
		"carriage return":     {"bob:100000:65536\r\n1000:165536:65536\r\n", nil, 100000, 2},
		"comment at the end":  {"alice:100000:65536 # mine\n", nil, 100000, 1},
		"comment":             {"# alice:100000:65536\n", nil, 165536, 0},
		"full":                {"bob:100000:4000000000\n", nil, 0, 0},
		"a range of no range": {"alice\nalice:1\nalice:1:0\n", nil, 100000, 1},
	} {
		free, line := Survey([]byte(test.text), []string{"alice", "1000"}, test.uids)
		if free != test.free || line != test.line {
			t.Errorf("%s: free from %d, line %d; want %d, %d", name, free, line, test.free, test.line)
		}
	}
}

// Without a way to map a range, a container that asked for none gets one id, and
// a note says why.
func TestDefaultInTrouble(t *testing.T) {
	for trouble, want := range map[host.Trouble]string{
		host.TroubleBounding: "/usr/bin/newuidmap gains no privilege: the capability bounding set lacks",
		host.TroubleNosuid:   "/usr/bin/newuidmap is on a file system mounted nosuid",
		host.TroubleNobody:   "/usr/bin/newuidmap wants a login name, and uid 1000 has none",
	} {
		uids, _, notes, err := Default(with(user(), func(f *host.Facts) { f.Subordinate.UIDTrouble = trouble }))
		if err != nil || len(uids) != 1 || uids[0].Size != 1 || len(notes) != 1 || !strings.Contains(notes[0], want) {
			t.Errorf("%s: %v, notes %q, %v", trouble, uids, notes, err)
		}
	}
}
