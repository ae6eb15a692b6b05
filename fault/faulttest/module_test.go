package faulttest

import (
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// packages visits the directories of the module's packages, but for its own tools and
// end-to-end tests.
func packages(visit func(dir string) error) error {
	const root = "../.."
	return filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); dir != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "hack", "tests", "faulttest", "bin"}, name)) {
			return filepath.SkipDir
		}
		return visit(dir)
	})
}

// TestModule: each package that has a hint or a warning walks them.
func TestModule(t *testing.T) {
	found := 0
	err := packages(func(dir string) error {
		sites, err := Sites(dir)
		if err != nil {
			t.Error(err)
		}
		if found += len(sites); len(sites) > 0 && !walks(t, dir) {
			t.Errorf("%s has %d hints and warnings, as %s: %q; no test of it calls faulttest.Walk", dir, len(sites), sites[0].At, sites[0].Words)
		}
		return nil
	})
	if err != nil || found < 100 {
		t.Errorf("%d hints and warnings, %v", found, err)
	}
}

func walks(t *testing.T, dir string) bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "faulttest.Walk(") {
			return true
		}
	}
	return false
}

// TestErrorsStayErrors: fmt.Errorf puts an error into another by %w. As mere text it
// would lose its hint, its place and its errno.
func TestErrorsStayErrors(t *testing.T) {
	calls := 0
	err := packages(func(dir string) error {
		s, err := parse(dir)
		if err != nil {
			return err
		}
		for _, f := range s.files {
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || name(call.Fun) != "Errorf" || len(call.Args) < 2 {
					return true
				}
				format, ok := call.Args[0].(*ast.BasicLit)
				calls++
				for _, a := range call.Args[1:] {
					if id := name(a); ok && (id == "err" || strings.HasSuffix(id, "Err")) && !strings.Contains(format.Value, "%w") {
						t.Errorf("%s: the error %s is formatted without %%w", s.set.Position(call.Pos()), id)
					}
				}
				return true
			})
		}
		return nil
	})
	if err != nil || calls < 100 {
		t.Errorf("%d calls of Errorf, %v", calls, err)
	}
}
