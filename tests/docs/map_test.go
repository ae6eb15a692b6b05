package docs

import (
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestMap: ARCHITECTURE.md says of each folder what it is for, if it has a package, or
// lies at the top, or is one of the tests' or the tools'.
func TestMap(t *testing.T) {
	text, err := os.ReadFile("../../docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## Where things are\n")
	places, _, found := strings.Cut(rest, "\nImports point one way")
	if !found {
		t.Fatalf("the map: %q", places)
	}
	files := slices.DeleteFunc(slices.Sorted(maps.Keys(read(t, "../..").files)), func(name string) bool {
		info, err := os.Stat("../../" + name)
		return err != nil || info.IsDir()
	})
	for _, folder := range missing(places, files) {
		t.Errorf("ARCHITECTURE.md does not say what %s/ is for", folder)
	}
}

// missing are the folders of these files that should be in the map, and are not.
func missing(places string, files []string) (list []string) {
	known := strings.FieldsFunc(places, func(r rune) bool { return strings.ContainsRune(" ,;\n", r) })
	for _, file := range files {
		folder := path.Dir(file)
		top, below, _ := strings.Cut(folder, "/")
		if path.Ext(file) != ".go" {
			switch first, _, _ := strings.Cut(below, "/"); top {
			case "tests", "hack", "cmd":
				folder = path.Join(top, first)
			default:
				folder = top
			}
		}
		if strings.HasPrefix(folder, ".") || slices.Contains(list, folder) || slices.Contains(known, folder+"/") {
			continue
		}
		list = append(list, folder)
	}
	return list
}

func TestMissing(t *testing.T) {
	const places = "    a/  b/c/   what; a/d/ this, tests/e/ that\n    cmd/x/, hack/\n"
	files := []string{"README.md", ".ci/run", "a/a.go", "a/d/d.go", "a/f/f.go", "a/f/g.go", "b/c/c.go", "b/x.md", "tests/e/f/g.txt", "tests/j/k", "cmd/x/y/z.s"}
	want := []string{"a/f", "b", "tests/j"}
	if got := missing(places, files); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
