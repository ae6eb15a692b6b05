package userns

import (
	"reflect"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
)

func TestGrants(t *testing.T) {
	const text = "# comment\n#alice:1:1\n\nalice:100000:65536\n1000:200000:10\nalice2:1:1\n10000:1:1\n" +
		"alice:1\nalice:1:2:3\nalice:x:1\nalice:1:\nalice:-1:5\nalice:+1:5\nalice: 1:5\n alice:1:5\n" +
		"alice:5:0\nalice:4294967295:1\nalice:4294967290:100\nalice:99999999999999999999999:1\n" +
		"alice:1:99999999999999999999999\n:7:7\nalice:300000:1"
	want := []Grant{
		{4, "alice", host.Range{Start: 100000, Size: 65536}},
		{5, "1000", host.Range{Start: 200000, Size: 10}},
		{18, "alice", host.Range{Start: 4294967290, Size: 5}},
		{20, "alice", host.Range{Start: 1, Size: 4294967294}},
		{22, "alice", host.Range{Start: 300000, Size: 1}},
	}
	if got := Grants([]byte(text), []string{"alice", "", "1000"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestGrantsNumericName: a login name may look like another user's uid; both
// are what subuid(5) says they are.
func TestGrantsNumericName(t *testing.T) {
	if got := Grants([]byte("1001:5:5\nu1:6:6\n"), []string{"u1", "1000"}); len(got) != 1 || got[0].Owner != "u1" {
		t.Errorf("got %v", got)
	}
}

func TestOverlap(t *testing.T) {
	owners := []string{"alice", "1000"}
	for text, want := range map[string]int{
		"alice:100000:65536\nbob:165536:65536\n":                  0,
		"alice:100000:65536\nbob:165535:65536\n":                  2,
		"bob:34465:65536\nalice:100000:65536\neve:34464:65536\n":  1,
		"eve:34464:65536\nalice:100000:65536\n":                   0,
		"alice:100000:65536\n1000:100000:65536\nalice:100000:1\n": 0, // both are the caller
		"# bob\nbob\nbob:x:1\nbob:1:9\nalice:5:1\nbob:100000:9\n": 4,
		"bob:100000:65536\n":                                      0,
		"#bob:100000:65536\nalice:100000:65536\n":                 0,
		"alice:100000:65536\nbob:100000:0\n":                      0,
	} {
		if own, other, ok := Overlap([]byte(text), owners); ok != (want != 0) || other.Line != want || ok && (other.Owner == "alice" || own.Owner != "alice") {
			t.Errorf("%q: %+v, %t, want line %d", text, other, ok, want)
		}
	}
}

func TestMoved(t *testing.T) {
	for _, test := range []struct{ size, free, want uint32 }{
		{0, 100000, 65536}, {65536, 200000, 65536}, {1 << 20, 200000, 1 << 20}, {1 << 20, 599100000, 65536}, {1<<32 - 1, 100000, 65536},
	} {
		if got := Moved(host.Range{Start: 1, Size: test.size}, test.free); got.Start != test.free || got.Size != test.want {
			t.Errorf("%+v: %+v", test, got)
		}
	}
}

func FuzzGrants(f *testing.F) {
	f.Add([]byte("u1:100000:65536\n1001:1:1\n"), "u1")
	f.Add([]byte("u1:4294967294:9\n::\n#"), "")
	f.Fuzz(func(t *testing.T, text []byte, owner string) {
		for _, g := range Grants(text, []string{owner}) {
			if g.Owner != owner || owner == "" || g.Range.Size == 0 ||
				uint64(g.Range.Start)+uint64(g.Range.Size) > idEnd ||
				g.Line < 1 || g.Line > 1+strings.Count(string(text), "\n") {
				t.Errorf("grant %+v", g)
			}
		}
	})
}

// FuzzDefault: whatever the files grant, the maps that come of it are ones that
// the kernel takes.
func FuzzDefault(f *testing.F) {
	f.Add([]byte("a:100000:65536\na:1:9\na:165535:9"), uint32(1000), uint32(0), uint32(1000))
	f.Add([]byte("a:0:4294967295"), uint32(4294967294), uint32(0), uint32(4294967295))
	f.Fuzz(func(t *testing.T, text []byte, uid, parent, size uint32) {
		facts := &host.Facts{Subordinate: &host.Subordinate{}}
		facts.Process.UID, facts.Process.GID = int(uid), int(uid)
		facts.UserNamespace.UIDMap = ms(m(0, parent, size), m(size, 0, 7))
		facts.UserNamespace.GIDMap = facts.UserNamespace.UIDMap
		facts.Subordinate.UIDs = Ranges(Grants(text, []string{"a"}))
		facts.Subordinate.GIDs = facts.Subordinate.UIDs
		facts.Subordinate.NewUIDMap, facts.Subordinate.NewGIDMap = "/u", "/g"
		uids, gids, _, err := Default(facts)
		if err != nil {
			return
		}
		maps, err := Resolve(uids, gids, facts)
		if err != nil {
			t.Fatalf("%v %v: %v", uids, gids, err)
		}
		if checkLimits(maps.UID) != nil || check(UID, maps.UID.Mappings) != nil {
			t.Errorf("got %v", maps.UID.Mappings)
		}
	})
}
