package plain

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"sh -c 'echo \"größe\" \\n' 日本", "sh -c 'echo \"größe\" \\n' 日本"},
		{"a\x1b[2Jb", `a\x1b[2Jb`},
		{"\x1b]0;title\a", `\x1b]0;title\a`},
		{"one\ntwo\r\tthree\v\f\x00\x7f", `one\ntwo\r\tthree\v\f\x00\x7f`},
		{"\u009b31m \u0085", `\u009b31m \u0085`}, // CSI and NEL as one character
		{"\x9b31m", `\x9b31m`},                   // and as a byte that is no UTF-8
		{"a\xffb\xc3", `a\xffb\xc3`},
		{"\xe2\x82", `\xe2\x82`}, // the beginning of a character
		{"\ufffd", "\ufffd"},     // itself printable
		{"gpj.\u202eexe", `gpj.\u202eexe`},
		{"\u2066\u2028\u2029\u200b\ufeff", `\u2066\u2028\u2029\u200b\ufeff`},
		{"\U000e0041", `\U000e0041`},
	} {
		if got := Text(test.text); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
		if got := Text(Text(test.text)); got != test.want {
			t.Errorf("%q twice: %q", test.text, got)
		}
	}
}

// TestJSON: what a JSON text means stays, whatever is in its strings, and nothing in it is a
// terminal's matter.
func TestJSON(t *testing.T) {
	value := map[string]string{"größe": "日本 \"\\n\" \x1b[2J\u009b31m\x7f\u0085 gpj.\u202eexe \U000e0041 \u2028", "a\nb": "\t\r\n"}
	for _, indent := range []string{"", "\t"} {
		whole, err := json.MarshalIndent(value, "", indent)
		if err != nil {
			t.Fatal(err)
		}
		got := JSON(string(whole))
		var again map[string]string
		if err := json.Unmarshal([]byte(got), &again); err != nil || !maps.Equal(again, value) {
			t.Errorf("%q: %v", got, err)
		}
		if left := Text(strings.NewReplacer("\n", "", "\t", "").Replace(got)); left != strings.NewReplacer("\n", "", "\t", "").Replace(got) {
			t.Errorf("%q has what a terminal acts on", got)
		}
		if !strings.Contains(got, `gpj.\u202eexe \udb40\udc41`) || !strings.Contains(got, "größe") {
			t.Errorf("%q", got)
		}
	}
}

func TestShort(t *testing.T) {
	for _, test := range []struct {
		text string
		max  int
		want string
	}{
		{"mount /x: no such file", 100, "mount /x: no such file"},
		{"12345678", 8, "12345678"},
		{"123456789", 8, "1234 ... 6789"},
		{"ääääää", 8, "ää ... ää"},
		{"äaääää", 6, "äa ... ä"}, // never half a character
		{strings.Repeat("\x1b", 9), 2, `\x1b ... \x1b`},
	} {
		if got := Short(test.text, test.max); got != test.want {
			t.Errorf("%q, %d: %q, want %q", test.text, test.max, got, test.want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b\n\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || strings.ContainsFunc(got, func(r rune) bool { return unicode.Is(unicode.Cf, r) }) {
			t.Errorf("%q: %q", s, got)
		}
		if Text(got) != got || utf8.ValidString(s) && len(s) > 0 && got == "" {
			t.Errorf("%q: %q", s, got)
		}
		for max := range 9 {
			if short := Short(s, max); len(short) > 6*max+10 && len(s) > max {
				t.Errorf("%q, %d: %q", s, max, short)
			}
		}
	})
}
