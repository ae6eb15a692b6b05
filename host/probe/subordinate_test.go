package probe

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/userns"
	"github.com/homerun-oci/homerun/userns/privilege"
)

// TestFreeRange: where a range is free is told from what the files say together:
// the grants of others, and the ids of the users or groups that the host has. Tried:
// grants that lie one after the other, a file larger than what one read takes, a
// login and a group among the usual subordinate ids, a primary group that has no
// name; and where the accounts cannot be read, or there are no files.
func TestFreeRange(t *testing.T) {
	const others = "other:100000:65536\nmore:165536:65536\n"
	big := strings.Repeat("# a comment\n", 1000)
	for name, test := range map[string]struct {
		files    map[string]string
		uid, gid uint32
	}{
		"no files":            {nil, 100000, 100000},
		"nobody":              {map[string]string{"subuid": "", "subgid": "", "passwd": "u:x:1000:1000::/:\n", "group": "u:x:1000:\n"}, 100000, 100000},
		"others' grants":      {map[string]string{"subuid": others, "subgid": others, "passwd": "u:x:1000:1000::/:\n"}, 231072, 231072},
		"others' in a large":  {map[string]string{"subuid": big + others, "subgid": others + big, "passwd": "u:x:1000:1000::/:\n", "group": big}, 231072, 231072},
		"a login":             {map[string]string{"subuid": others, "passwd": "far:x:300000:1000::/:\n"}, 300001, 100000},
		"a group":             {map[string]string{"subgid": others, "passwd": "u:x:1000:1000::/:\n", "group": "far:x:300000:u\n"}, 100000, 300001},
		"a primary group":     {map[string]string{"passwd": "u:x:1000:300000::/:\n"}, 100000, 300001},
		"unreadable accounts": {map[string]string{"passwd/x": "", "group/x": ""}, 0, 0},
		"an unreadable group": {map[string]string{"passwd": "", "group/x": ""}, 100000, 0},
	} {
		etc := t.TempDir()
		for file, text := range test.files {
			if dir, _, ok := strings.Cut(file, "/"); ok {
				if err := os.Mkdir(etc+"/"+dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(etc+"/"+file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p := Prober{Facts: &host.Facts{}}
		if list, free, line := p.ranges(etc, "subuid", []string{"u", "1000"}); list != nil || free != test.uid || line != 0 {
			t.Errorf("%s: uids %v, free from %d, line %d; want %d", name, list, free, line, test.uid)
		}
		if list, free, line := p.ranges(etc, "subgid", []string{"u", "1000"}); list != nil || free != test.gid || line != 0 {
			t.Errorf("%s: gids %v, free from %d, line %d; want %d", name, list, free, line, test.gid)
		}
	}
}

// TestTrouble: what keeps a helper from its privilege. That of a setuid program is
// bounded by the thread's bounding set.
func TestTrouble(t *testing.T) {
	if os.Geteuid() != 0 {
		unable(t, "needs root, to make a setuid program of root's")
	}
	helper := t.TempDir() + "/newidmap"
	if err := errors.Join(os.WriteFile(helper, nil, 0o755), os.Chmod(helper, os.ModeSetuid|0o755)); err != nil {
		t.Fatal(err)
	}
	if privilege.IsNosuid(helper) {
		unable(t, "needs a TMPDIR that is not mounted nosuid")
	}
	plain := t.TempDir() + "/plain"
	if err := os.WriteFile(plain, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path    string
		kind    userns.Kind
		login   string
		own     uint64 // capabilities
		dropped int
		want    host.Trouble
	}{
		"none":                      {helper, userns.UID, "u", 0, -1, ""},
		"no helper":                 {"", userns.UID, "", 0, unix.CAP_SETUID, ""},
		"not setuid":                {plain, userns.UID, "", 0, unix.CAP_SETUID, ""}, // it says so itself
		"no login":                  {helper, userns.UID, "", 0, -1, host.TroubleNobody},
		"without CAP_SETUID":        {helper, userns.UID, "u", 0, unix.CAP_SETUID, host.TroubleBounding},
		"gid, without CAP_SETUID":   {helper, userns.GID, "u", 0, unix.CAP_SETUID, ""},
		"gid, without CAP_SETGID":   {helper, userns.GID, "u", 0, unix.CAP_SETGID, host.TroubleBounding},
		"without CAP_SYS_ADMIN":     {helper, userns.UID, "u", 0, unix.CAP_SYS_ADMIN, host.TroubleBounding},
		"has it itself":             {helper, userns.UID, "", 1 << unix.CAP_SETUID, unix.CAP_SYS_ADMIN, ""},
		"has the other kind itself": {helper, userns.GID, "", 1 << unix.CAP_SETUID, -1, host.TroubleNobody},
	} {
		done := make(chan host.Trouble)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends here
			if test.dropped >= 0 {
				if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(test.dropped), 0, 0, 0); err != nil {
					t.Error(err)
				}
			}
			p := Prober{Facts: &host.Facts{Subordinate: &host.Subordinate{}}}
			p.Facts.Process.Capabilities, p.Facts.Subordinate.Login = test.own, test.login
			done <- p.trouble(test.path, test.kind)
		}()
		if got := <-done; got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// unable skips a test where the environment allows that, and fails it elsewhere.
func unable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" || testing.Short() {
		t.Skip(why)
	}
	t.Fatal(why)
}

// TestUnreadableGrant: the line that names the caller and grants nothing.
func TestUnreadableGrant(t *testing.T) {
	etc := t.TempDir()
	err := errors.Join(os.WriteFile(etc+"/subuid", []byte("other:100000:65536\nu:165536:65536\r\n"), 0o600),
		os.WriteFile(etc+"/passwd", []byte("# a longer file, which is read later\nu:x:1000:1000::/:\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	p := Prober{Facts: &host.Facts{}}
	if list, free, line := p.ranges(etc, "subuid", []string{"u", "1000"}); list != nil || free != 165536 || line != 2 {
		t.Errorf("%v, free from %d, line %d, want 165536 and line 2", list, free, line)
	}
}

// TestFewGranted: who has some ids is told where more are free.
func TestFewGranted(t *testing.T) {
	etc := t.TempDir()
	p := Prober{Facts: &host.Facts{}}
	for text, want := range map[string]uint32{"u:100000:10\n": 100010, "u:100000:65536\n": 0} {
		err := errors.Join(os.WriteFile(etc+"/subuid", []byte(text), 0o600), os.WriteFile(etc+"/passwd", []byte("u:x:1000:1000::/:\n"), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		if list, free, line := p.ranges(etc, "subuid", []string{"u", "1000"}); len(list) != 1 || free != want || line != 0 {
			t.Errorf("%q: %v, free from %d, line %d, want %d", text, list, free, line, want)
		}
	}
}
