package container

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestGroupOf: who says a number alone has the group of that entry.
func TestGroupOf(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(root+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/etc/passwd", []byte("a:x:70:7:::\nweb:x:7:8:::\nweb:x:7:9:::\nbad:x:6:-1:::\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]specs.User{"7": {UID: 7, GID: 8}, "7:5": {UID: 7, GID: 5}, "web": {UID: 7, GID: 8}, "8": {UID: 8}, "6": {UID: 6}} {
		var got specs.User
		if err := ResolveUserIn(root, text, &got); err != nil || got.UID != want.UID || got.GID != want.GID {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestUserIn(t *testing.T) {
	long := strings.Repeat("9", 1000)
	for _, test := range []struct {
		text, name, want string
	}{
		{"web:x:7:8:::\n", "web", "7 8 <nil>"},
		{"web:x:7:8:::\nweb:x:0:0:::\n", "web", "7 8 <nil>"},
		{"web:x:7:8:::a:b:c\n", "web", "7 8 <nil>"},
		{"web:x:7:8::\n", "web", "no such entry in the container's /etc"},
		{"other:x:7:8:::\n", "web", "no such entry in the container's /etc"},
		{"web:x::8:::\n", "web", `the container's /etc/passwd gives ids "" and "8"`},
		{"web:x:-1:8:::\n", "web", `the container's /etc/passwd gives ids "-1" and "8"`},
		{"web:x:7:4294967295:::\n", "web", `the container's /etc/passwd gives ids "7" and "4294967295"`},
		{"web:x:7:\x1b[2J:::\n", "web", `the container's /etc/passwd gives ids "7" and "\x1b[2J"`},
		{"web:x:" + long + ":8:::\n", "web", `the container's /etc/passwd gives ids "` + long[:20] + `" and "8"`},
		{":x:7:8:::\n", "", "no such entry in the container's /etc"},
		{"a:x:7:8:::\n", "a:x:7", "no such entry in the container's /etc"},
	} {
		uid, gid, err := userIn([]byte(test.text), test.name)
		got := strconv.Itoa(int(uid)) + " " + strconv.Itoa(int(gid)) + " <nil>"
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q: %s, want %s", test.text, got, test.want)
		}
	}
	if gid, err := groupIn([]byte("web:x:9:\n"), "web"); gid != 9 || err != nil {
		t.Errorf("group: %d, %v", gid, err)
	}
	if _, err := groupIn([]byte("web:x:"+long+":\n"), "web"); err == nil || err.Error() != `the container's /etc/group gives the id "`+long[:20]+`"` {
		t.Errorf("group: %v", err)
	}
}

// FuzzUserIn wants from a hostile passwd and group the ids that a line of that
// name has, written as they are; or an error of a line's length.
func FuzzUserIn(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:::\n", "web")
	f.Add("web:x:4294967295:0:::\n", "web")
	f.Add("web:x:+1: 2:::\n\xff:::::::", "\xff")
	f.Add("web:x:00007:2147483647:web,a:\n", "web")
	f.Fuzz(func(t *testing.T, text, name string) {
		uid, gid, err := userIn([]byte(text), name)
		if err == nil && !slices.ContainsFunc(lineFields(text, name), func(l []string) bool { return is(l[2], uid) && is(l[3], gid) && len(l) >= 7 }) {
			t.Errorf("user %q is %d:%d in %q", name, uid, gid, text)
		}
		checkError(t, err)
		gid, err = groupIn([]byte(text), name)
		if err == nil && !slices.ContainsFunc(lineFields(text, name), func(l []string) bool { return is(l[2], gid) }) {
			t.Errorf("group %q is %d in %q", name, gid, text)
		}
		checkError(t, err)
	})
}

// lineFields are the fields of lines that begin with a name.
func lineFields(text, name string) (list [][]string) {
	for _, line := range strings.Split(text, "\n") {
		if f := strings.Split(line, ":"); len(f) >= 4 && f[0] == name {
			list = append(list, f)
		}
	}
	return list
}

// is reports whether digits, and nothing else, are an id that is somebody's.
func is(text string, id uint32) bool {
	return strings.TrimLeft(text, "0") == strings.TrimLeft(strconv.FormatUint(uint64(id), 10), "0") && text != "" && id < 1<<31
}

func checkError(t *testing.T, err error) {
	t.Helper()
	if err != nil && (len(err.Error()) > 300 || strings.ContainsAny(err.Error(), "\x00\x1b\n\r")) {
		t.Errorf("error %q", err)
	}
}
