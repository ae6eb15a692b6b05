package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// tree is the repository, read once for all rules.
type tree struct {
	root    string
	module  string
	fset    *token.FileSet
	files   []string // all files, slash-separated, relative to root
	gofiles []*gofile
}

// gofile is a parsed Go file.
type gofile struct {
	path string
	dir  string // slash-separated; the package
	test bool
	made bool // by a generator
	tool bool // part of no package: go run starts it
	ast  *ast.File
	// imports maps the name that the file uses to the import path.
	imports map[string]string
}

// load reads the tree below root. Folders named testdata, and what the go
// command and git do not see either, are not part of it.
func load(root string) (*tree, error) {
	t := &tree{root: root, fset: token.NewFileSet()}
	if err := t.readModule(); err != nil {
		return nil, err
	}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(root, name)
		}
		return t.addFile(name)
	})
	return t, err
}

func skipDir(root, name string) error {
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return err
	}
	switch {
	case rel == "bin", rel == ".out", filepath.Base(rel) == ".git", filepath.Base(rel) == "testdata":
		return filepath.SkipDir
	}
	return nil
}

func (t *tree) readModule() error {
	text, err := os.ReadFile(filepath.Join(t.root, "go.mod"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	t.module = strings.TrimPrefix(first, "module ")
	return nil
}

func (t *tree) addFile(name string) error {
	rel, err := filepath.Rel(t.root, name)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	t.files = append(t.files, rel)
	if path.Ext(rel) != ".go" {
		return nil
	}
	parsed, err := parser.ParseFile(t.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.gofiles = append(t.gofiles, &gofile{
		path: rel, dir: path.Dir(rel), ast: parsed, imports: importNames(parsed),
		test: strings.HasSuffix(rel, "_test.go"), made: ast.IsGenerated(parsed), tool: isTool(rel, parsed),
	})
	return nil
}

// isTool knows the project's own programs and what generators are run from.
func isTool(name string, f *ast.File) bool {
	if within(name, "hack") {
		return true
	}
	return len(f.Comments) > 0 && f.Comments[0].Pos() < f.Package && f.Comments[0].List[0].Text == "//go:build ignore"
}

func importNames(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has said so already
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}

// source lists the files that are no tests.
func (t *tree) source() []*gofile {
	var list []*gofile
	for _, f := range t.gofiles {
		if !f.test {
			list = append(list, f)
		}
	}
	return list
}

// product lists the source without the project's own tools.
func (t *tree) product() []*gofile {
	var list []*gofile
	for _, f := range t.source() {
		if !f.tool {
			list = append(list, f)
		}
	}
	return list
}

// within reports whether dir is parent or lies below it.
func within(dir, parent string) bool {
	return dir == parent || strings.HasPrefix(dir, parent+"/")
}

// text reads a file of the tree.
func (t *tree) text(file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(t.root, filepath.FromSlash(file)))
	return string(b), err
}

// at makes a finding at a place in a Go file.
func (t *tree) at(f *gofile, pos token.Pos, format string, args ...any) finding {
	return finding{where: fmt.Sprintf("%s:%d", f.path, t.fset.Position(pos).Line), what: fmt.Sprintf(format, args...)}
}

// lines is how many lines a node spans.
func (t *tree) lines(n ast.Node) int {
	return t.fset.Position(n.End()).Line - t.fset.Position(n.Pos()).Line + 1
}

// calls visits each call of a package's function: of path.name(...).
func (f *gofile) calls(visit func(pkg, name string, call *ast.CallExpr)) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && f.imports[x.Name] != "" {
				visit(f.imports[x.Name], sel.Sel.Name, call)
			}
		}
		return true
	})
}

// uses visits each use of a package's name: path.name, called or not.
func (f *gofile) uses(visit func(pkg, name string, at token.Pos)) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && f.imports[x.Name] != "" {
				visit(f.imports[x.Name], sel.Sel.Name, sel.Pos())
			}
		}
		return true
	})
}
