package units

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
)

// Whatever a shell can pass on as a word arrives as that word through systemd, and so do
// paths and variables.
func TestWords(t *testing.T) {
	guest.NeedUser(t)
	words := []string{"plain", "", " ", "two words", `"`, `'`, `it's`, `\`, `a\nb`, "a\nb", "a\tb", "\x01\x1b[0m", "\x7f", "$HOME", "${HOME}", "$$", "%", "%h", "%%n", ";", ";x",
		"#x", "-x", "--", "~", "*", "ä€𝄞", "\u00a0", "\u2028", "a=b", "\\;", `x\`, "|", ">/mnt/no", "&&", "`id`", "!", "@", ":"}
	u := newUnit(t)
	dir := filepath.Join(t.TempDir(), `a b"c%d$e\f'g`)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"--rootfs", "/", "--net", "none", "--volume", dir + ":/mnt", "--env", `X=a "b" $c %d \e`, "--", "sh", "-c", `printf '%s\0' "$X" "$@" >/mnt/tmp; mv /mnt/tmp /mnt/out; sleep 86409`, "sh"}
	u.generate(".service", append(args, words...)...)
	u.start()
	if !within(5*time.Second, func() bool { return text(dir, "out") != "" }) {
		t.Fatal(u.status())
	}
	got := strings.Split(text(dir, "out"), "\x00")
	want := append([]string{`X`}, words...)
	want[0] = `a "b" $c %d \e`
	want = append(want, "")
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("word %d of %q is not that of %q", i, got, want)
		}
	}
}

// A working directory that --here is, with characters that systemd reads its own way.
func TestHere(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	dir := filepath.Join(t.TempDir(), `a b%h$x`)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOMERUN", guest.Homerun(t))
	t.Chdir(dir)
	u.generate(".service", "--rootfs", "/", "--here", "--net", "none", "--", "sh", "-c", "pwd >out; sleep 86412")
	u.start()
	if !within(5*time.Second, func() bool { return text(dir, "out") == dir+"\n" }) {
		t.Errorf("%q\n%s", text(dir, "out"), u.status())
	}
}
