package probe

import (
	"os"
	"strings"
	"testing"
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
		var p prober
		if list, free, line := p.ranges(etc, "subuid", []string{"u", "1000"}); list != nil || free != test.uid || line != 0 {
			t.Errorf("%s: uids %v, free from %d, line %d; want %d", name, list, free, line, test.uid)
		}
		if list, free, line := p.ranges(etc, "subgid", []string{"u", "1000"}); list != nil || free != test.gid || line != 0 {
			t.Errorf("%s: gids %v, free from %d, line %d; want %d", name, list, free, line, test.gid)
		}
	}
}
