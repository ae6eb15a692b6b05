package main

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/importer"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// unreadFacts finds members of the facts that nobody outside of package host and
// the probe reads. What is converted to another type as a whole is read as that.
func unreadFacts(t *tree) ([]finding, error) {
	var declared []*gofile
	for _, f := range t.source() {
		if f.dir == "host" {
			declared = append(declared, f)
		}
	}
	if len(declared) == 0 {
		return nil, nil
	}
	r, err := newReaders(t)
	if err != nil {
		return nil, err
	}
	facts, err := r.importer.Import(r.host)
	if err != nil {
		return nil, err
	}
	for _, dir := range r.dirs() {
		r.read(dir)
	}
	var found []finding
	for _, f := range declared {
		found = append(found, r.unread(f, facts)...)
	}
	return found, nil
}

// readers knows who reads what, by type and member.
type readers struct {
	*tree
	host     string
	importer types.Importer
	seen     map[string]bool
}

// newReaders lets packages be imported as the go command has compiled them.
func newReaders(t *tree) (*readers, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-e", "-f", "{{.ImportPath}} {{.Export}}", "./...")
	cmd.Dir = t.root
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		name, file, _ := strings.Cut(lines.Text(), " ")
		files[name] = file
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
	return &readers{t, t.module + "/host", importer.ForCompiler(t.fset, "gc", open), map[string]bool{}}, nil
}

// dirs are the packages that import the facts and did not measure them.
func (r *readers) dirs() []string {
	var dirs []string
	for _, f := range r.product() {
		imports := false
		for _, p := range f.imports {
			imports = imports || p == r.host
		}
		if imports && f.dir != "host/probe" && !within(f.dir, "tests") && !slices.Contains(dirs, f.dir) {
			dirs = append(dirs, f.dir)
		}
	}
	return dirs
}

// read notes what a package reads.
func (r *readers) read(dir string) {
	var files []*ast.File
	for _, f := range r.product() {
		if f.dir == dir {
			files = append(files, f.ast)
		}
	}
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}, Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: r.importer, Error: func(error) {}} // the compiler has found them
	_, _ = conf.Check(r.module+"/"+dir, r.fset, files, info)
	written := map[ast.Expr]bool{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					written[left] = true
				}
			case *ast.CallExpr:
				if to := info.Types[n.Fun]; to.IsType() && len(n.Args) == 1 {
					r.seen[bare(info.Types[n.Args[0]].Type)] = true
				}
			}
			return true
		})
	}
	for at, s := range info.Selections {
		if !written[at] {
			r.seen[bare(s.Recv())+"."+s.Obj().Name()] = true
		}
	}
}

// bare is a type's name without a pointer.
func bare(t types.Type) string {
	if t == nil {
		return ""
	}
	return strings.TrimPrefix(t.String(), "*")
}

// unread finds what of the structures in a file of package host, but for the needs,
// nobody reads.
func (r *readers) unread(f *gofile, facts *types.Package) []finding {
	if strings.HasSuffix(f.path, "/needs.go") {
		return nil
	}
	var found []finding
	ast.Inspect(f.ast, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		body, ok := spec.Type.(*ast.StructType)
		whole := r.host + "." + spec.Name.Name
		if !ok || r.seen[whole] || facts.Scope().Lookup(spec.Name.Name) == nil {
			return true
		}
		for _, field := range body.Fields.List {
			for _, name := range field.Names {
				if !r.seen[whole+"."+name.Name] {
					found = append(found, r.at(f, name.Pos(), "nobody reads %s.%s", spec.Name.Name, name.Name))
				}
			}
		}
		return true
	})
	return found
}
