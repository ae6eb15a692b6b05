package plain

import "testing"

func TestDistance(t *testing.T) {
	for pair, want := range map[[2]string]int{{"", ""}: 0, {"a", ""}: 1, {"args", "arg"}: 1, {"agrs", "args"}: 1, {"abc", "xyz"}: 3} {
		if got := Distance(pair[0], pair[1]); got != want {
			t.Errorf("%q: %d, want %d", pair, got, want)
		}
	}
}

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{"": "''", "/a-b_c.d=e:f,g+h@i%": "/a-b_c.d=e:f,g+h@i%", "a b": "'a b'", "it's": `'it'\''s'`, "$x": "'$x'", "\n": "'\n'", "é": "'é'"} {
		if got := ShellWord(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}
