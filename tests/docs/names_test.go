package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// source is what the repository has that a document may name.
type source struct {
	// files are all, and directories, relative to the root.
	files map[string]bool
	// packages have what each declares on its top level, by the package's last name;
	// packages of one name are one. members have the methods and fields of each type.
	packages, members map[string]map[string]bool
	// tests are functions that go test calls.
	tests map[string]bool
}

// read reads the repository.
func read(t *testing.T, root string) *source {
	t.Helper()
	s := &source{map[string]bool{}, map[string]map[string]bool{}, map[string]map[string]bool{}, map[string]bool{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ = filepath.Rel(root, name)
		if d.IsDir() && (name == "bin" || d.Name() == ".git" || d.Name() == ".out" || d.Name() == "testdata") {
			s.files[name] = true
			return filepath.SkipDir
		}
		s.files[name] = true
		if strings.HasSuffix(name, ".go") {
			return s.parse(filepath.Join(root, name))
		}
		return nil
	})
	if err != nil || len(s.packages) < 50 {
		t.Fatalf("%d packages, %v", len(s.packages), err)
	}
	return s
}

func (s *source) parse(name string) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	inPackage := strings.TrimSuffix(file.Name.Name, "_test")
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil {
				add(s.members, receiver(d.Recv.List[0].Type), d.Name.Name)
			} else if add(s.packages, inPackage, d.Name.Name); strings.HasSuffix(name, "_test.go") {
				s.tests[d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				s.declare(inPackage, spec)
			}
		}
	}
	return nil
}

func (s *source) declare(inPackage string, spec ast.Spec) {
	switch d := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range d.Names {
			add(s.packages, inPackage, n.Name)
		}
	case *ast.TypeSpec:
		add(s.packages, inPackage, d.Name.Name)
		if fields, ok := d.Type.(*ast.StructType); ok {
			for _, f := range fields.Fields.List {
				for _, n := range f.Names {
					add(s.members, d.Name.Name, n.Name)
				}
			}
		}
	}
}

func add(to map[string]map[string]bool, key, name string) {
	if to[key] == nil {
		to[key] = map[string]bool{}
	}
	to[key][name] = true
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

var (
	// A path with ./ before it is the reader's own.
	quoted     = regexp.MustCompile("`([^`\n]+)`")
	linked     = regexp.MustCompile(`\]\(([^)#\s]+)[)#]`)
	aPath      = regexp.MustCompile(`^[A-Za-z0-9_.*-]+(/[A-Za-z0-9_.*-]+)+/?$`)
	aTest      = regexp.MustCompile(`^(Test|Fuzz|Example|Benchmark)[A-Z]\w*$`)
	identifier = regexp.MustCompile(`^([A-Za-z]\w*)\.([A-Za-z]\w*)(?:\.([A-Za-z]\w*))?(\(\))?$`)
)

// wrong lists what a document names that is not there.
func (s *source) wrong(file, text string) (list []string) {
	for _, m := range linked.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(m[1], ":") && !s.files[path.Join(path.Dir(file), m[1])] {
			list = append(list, m[1])
		}
	}
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		if !s.has(m[1]) {
			list = append(list, m[1])
		}
	}
	return list
}

// has reports whether what a document has in backquotes is there, if it is a name of
// something in the repository.
func (s *source) has(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	if path.Ext(name) == ".go" || aPath.MatchString(name) && s.files[top] && top != "." && top != "bin" && top != ".out" {
		return s.hasFile(strings.TrimSuffix(name, "/"))
	}
	if aTest.MatchString(name) {
		return s.tests[name]
	}
	m := identifier.FindStringSubmatch(name)
	switch {
	case m == nil || path.Ext(name) == ".json":
		return true
	case s.packages[m[1]] != nil && token.IsExported(m[2]):
		return s.packages[m[1]][m[2]] && (m[3] == "" || s.members[m[2]][m[3]])
	case s.members[m[1]] != nil && m[3] == "" && (token.IsExported(m[1]) || m[1] == "starting"):
		return s.members[m[1]][m[2]]
	}
	return true
}

func (s *source) hasFile(name string) bool {
	if !strings.Contains(name, "*") {
		return s.files[name]
	}
	for file := range s.files {
		if !strings.Contains(name, "/") {
			file = path.Base(file)
		}
		if ok, _ := path.Match(name, file); ok {
			return true
		}
	}
	return false
}

// TestNamesAreThere: files, functions, types and tests that a document names are in the
// repository.
func TestNamesAreThere(t *testing.T) {
	const root = "../.."
	s := read(t, root)
	documents, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(documents) < 15 {
		t.Fatalf("%d documents, %v", len(documents), err)
	}
	for _, name := range append(documents, root+"/README.md", root+"/CONTRIBUTING.md", root+"/SECURITY.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, _ := filepath.Rel(root, name)
		for _, wrong := range s.wrong(file, string(text)) {
			t.Errorf("%s names %s, which is not there", file, wrong)
		}
	}
}

func TestWrong(t *testing.T) {
	s := read(t, "../..")
	const text = "`plan/encode.go` `plan/none.go` `none.go` [a](../README.md#x) [b](none.md) [c](https://example.org/) `plan.Check` `plan.Chekc` `process.args` " +
		"`Runtime.Create` `Runtime.Make` `container.Runtime.Create` `container.Runtime.Make` `os.None` `starting.do` `starting.undo` `TestWrong` `TestRight` `hack/*.md` `plan/*.go` `*_unsafe.go` `linux/x`"
	want := []string{"none.md", "plan/none.go", "none.go", "plan.Chekc", "Runtime.Make", "container.Runtime.Make", "starting.undo", "TestRight", "hack/*.md"}
	if got := s.wrong("docs/x.md", text); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
