package compile

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/host"
)

// TestLongStrings makes each text of the golden files' configs longer than any path: that
// is an error that a config may cause, or a plan, and never a broken rule of plans.
func TestLongStrings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files")
	}
	tried := 0
	seen := map[string]bool{}
	for _, file := range files {
		g := readGolden(t, readArchive(t, file))
		config, facts := patched(t, "testdata/base.json", g.sections["config.json"]), patched(t, "testdata/facts.json", g.sections["facts.json"])
		var tree any
		if err := decode(string(config), &tree); err != nil {
			t.Fatal(err)
		}
		eachText(tree, "", func(place, text string, set func(string)) {
			if kind := place + " " + strings.SplitAfter(text+"=", "=")[0]; seen[kind] {
				return
			} else {
				seen[kind] = true
			}
			defer set(text)
			for _, longer := range []string{text + strings.Repeat("x", 5000), strings.Replace(text, "=", strings.Repeat("x", 5000)+"=", 1), "x=" + strings.Repeat("x", 5000)} {
				set(longer)
				changed, err := json.Marshal(tree)
				if err != nil {
					t.Fatal(err)
				}
				b, err := bundle.Decode(changed)
				if err != nil {
					continue
				}
				known := new(host.Facts)
				if err := json.Unmarshal(facts, known); err != nil {
					t.Fatal(err)
				}
				if _, err := b.Check(); err == nil {
					compileAll(t, b, known, uint16(tried*0x9e37))
					tried++
				}
			}
		})
	}
	if tried < 300 {
		t.Errorf("only %d configs", tried)
	}
}

// eachText visits the texts of a JSON tree with a way to change each.
func eachText(tree any, place string, visit func(place, text string, set func(string))) {
	switch node := tree.(type) {
	case map[string]any:
		for name, value := range node {
			if text, ok := value.(string); ok {
				visit(place+"."+name, text, func(s string) { node[name] = s })
			} else {
				eachText(value, place+"."+name, visit)
			}
		}
	case []any:
		for i, value := range node {
			if text, ok := value.(string); ok {
				visit(place+"[]", text, func(s string) { node[i] = s })
			} else {
				eachText(value, place+"[]", visit)
			}
		}
	}
}
