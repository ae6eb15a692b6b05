package compile

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
)

var update = flag.Bool("update", false, "rewrite the wanted parts of the golden files")

// golden is a file of testdata: what it is about, and sections. config.json and
// facts.json are JSON merge patches (RFC 7396) over testdata/base.json and
// testdata/facts.json; wishes.json is a Wishes, join.json a Join to compile
// instead, and mounts.json a Mounts. want is the plan or the error. Lines that
// begin with "show: " limit the plan to the steps from those JSON paths.
type golden struct {
	about    string
	sections map[string]string
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { testGolden(t, file) })
	}
}

func testGolden(t *testing.T, file string) {
	a := readArchive(t, file)
	g := readGolden(t, a)
	got := g.result(t)
	want := &a.sections[len(a.sections)-1]
	if want.name != "want" {
		t.Fatalf("the last section is %s, not want", want.name)
	}
	if want.text == got {
		return
	}
	if *update {
		want.text = got
		a.write(t, file)
		return
	}
	t.Errorf("go test ./compile -update rewrites the file; then read the diff.\n%s", difference(want.text, got))
}

func readGolden(t testing.TB, a *archive) golden {
	t.Helper()
	g := golden{a.comment, map[string]string{}}
	if g.about == "" {
		t.Fatal("the file does not say what it is about")
	}
	for _, s := range a.sections {
		switch s.name {
		case "config.json", "facts.json", "wishes.json", "join.json", "mounts.json", "want":
			g.sections[s.name] = s.text
		default:
			t.Fatalf("unknown section %s", s.name)
		}
	}
	return g
}

// result is the plan or the error as text.
func (g golden) result(t *testing.T) string {
	t.Helper()
	b, facts := g.input(t)
	warnings, err := b.Check()
	if err != nil {
		return errorText(err)
	}
	r, err := g.compile(t, b, facts)
	if err != nil {
		return errorText(err)
	}
	r.Warnings = append(warnings, r.Warnings...)
	return g.print(r)
}

// input applies the patches.
func (g golden) input(t *testing.T) (*bundle.Bundle, *host.Facts) {
	t.Helper()
	b, err := bundle.Decode(patched(t, "testdata/base.json", g.sections["config.json"]))
	if err != nil {
		t.Fatal(err)
	}
	b.Dir = "/bundle"
	facts := new(host.Facts)
	strict(t, "facts.json", patched(t, "testdata/facts.json", g.sections["facts.json"]), facts)
	return b, facts
}

func (g golden) compile(t *testing.T, b *bundle.Bundle, facts *host.Facts) (*Result, error) {
	t.Helper()
	if text, ok := g.sections["join.json"]; ok {
		j := Join{Process: b.Config.Process, Spec: b.Config}
		strict(t, "join.json", []byte(text), &j)
		return joinAnswered(j, facts)
	}
	if text, ok := g.sections["mounts.json"]; ok {
		m := Mounts{BundleDir: b.Dir}
		strict(t, "mounts.json", []byte(text), &m)
		return mountsAnswered(m, facts)
	}
	return compileAnswered(b.Config, facts, g.wishes(t))
}

func (g golden) wishes(t *testing.T) Wishes {
	t.Helper()
	w := wishes()
	if text, ok := g.sections["wishes.json"]; ok {
		strict(t, "wishes.json", []byte(text), &w)
	}
	return w
}

// wishes are those of a container without a cgroup.
func wishes() Wishes {
	return Wishes{ID: "web", BundleDir: "/bundle", StateDir: "/run/homerun/web", Manager: cgroupv2.None, NoNewKeyring: true}
}

// strict decodes JSON in which a misspelt name is an error.
func strict(t testing.TB, name string, text []byte, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// patched is a JSON file with a merge patch.
func patched(t testing.TB, file, patch string) []byte {
	t.Helper()
	var base, change any
	text, err := os.ReadFile(file)
	if err == nil {
		err = decode(string(text), &base)
	}
	if err == nil && patch != "" {
		if err = decode(patch, &change); err == nil {
			base = merge(base, change)
		}
	}
	if err == nil {
		text, err = json.Marshal(base)
	}
	if err != nil {
		t.Fatalf("%s with %s: %v", file, patch, err)
	}
	return text
}

// decode keeps numbers as they are written.
func decode(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}

// merge is RFC 7396's MergePatch.
func merge(base, change any) any {
	patch, ok := change.(map[string]any)
	if !ok {
		return change
	}
	target, ok := base.(map[string]any)
	if !ok {
		target = map[string]any{}
	}
	for name, value := range patch {
		if value == nil {
			delete(target, name)
		} else {
			target[name] = merge(target[name], value)
		}
	}
	return target
}

// print is the plan with its provenance, then the runtime's side.
func (g golden) print(r *Result) string {
	var b strings.Builder
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	for _, in := range r.Plan.Inputs() {
		fmt.Fprintf(&b, "input %d: %s\n", in.FD, in.Name)
	}
	whole := r.Plan.WithValues()
	for i := range whole.Len() {
		if where := whole.Step(i).Pointer; g.shows(where) {
			fmt.Fprintf(&b, "%4d  %s\n      %s: %s\n", i+1, whole.Line(i), where, whole.Step(i).What)
		}
	}
	for i, s := range r.Plan.Runtime() {
		if g.shows(s.Pointer) {
			fmt.Fprintf(&b, "runtime %d  %s\n      %s\n", i+1, whole.RuntimeLine(i), s.Pointer)
		}
	}
	return b.String()
}

// shows reports whether the file is about steps from there.
func (g golden) shows(where string) bool {
	limited := false
	for _, line := range strings.Split(g.about, "\n") {
		pointer, ok := strings.CutPrefix(line, "show: ")
		if !ok {
			continue
		}
		limited = true
		rest, below := strings.CutPrefix(where, pointer)
		if below && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return !limited
}

// errorText is an error as the command prints it.
func errorText(err error) string {
	text := "error: " + err.Error() + "\n"
	if h := fault.Hint(err); h != "" {
		text += "hint: " + h + "\n"
	}
	return text
}

// difference shows where two texts part.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := 0; ; i++ {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			return fmt.Sprintf("line %d, want:\n%s\ngot:\n%s", i+1, window(w, i), window(g, i))
		}
	}
}

// window is the line and what is around it.
func window(lines []string, i int) string {
	return strings.Join(lines[min(max(0, i-2), len(lines)):min(len(lines), i+6)], "\n")
}
