package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source visits all Go files of the programs that are installed, not of tests and hack.
func source(t *testing.T, visit func(name string, f *ast.File)) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains([]string{"hack", "tests", "bin", "testdata"}, d.Name()) || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err == nil {
			visit(filepath.Dir(name), f)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// text is the value of a string in the source, "" of anything else.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}

// Variables that homerun reads stand in ENVIRONMENT of homerun(1).
func TestEachVariableHasALine(t *testing.T) {
	constants := map[string]string{}
	source(t, func(dir string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == 1 && len(v.Values) == 1 {
				constants[dir+" "+v.Names[0].Name] = text(v.Values[0])
			}
			return true
		})
	})
	read := map[string]string{}
	source(t, func(dir string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 || !reads(call.Fun) {
				return true
			}
			name := text(call.Args[0])
			if id, ok := call.Args[0].(*ast.Ident); ok {
				name = constants[dir+" "+id.Name]
			}
			if name != "" {
				read[name] = dir
			}
			return true
		})
	})
	if read["XDG_RUNTIME_DIR"] == "" || read["RUN_OCI_SECCOMP_RECEIVER"] == "" {
		t.Fatalf("found %v", read)
	}
	have := terms(t, "homerun", "ENVIRONMENT")
	for name, dir := range read {
		if !slices.Contains(have, name) {
			t.Errorf("homerun(1), ENVIRONMENT: no line for %s, which %s reads", name, dir)
		}
	}
	for _, name := range have {
		if read[name] == "" && name != "PATH" { // which package exec reads
			t.Errorf("homerun(1), ENVIRONMENT: nothing reads %s", name)
		}
	}
}

// reads reports whether a function has the name of one that reads a variable.
func reads(fun ast.Expr) bool {
	name := ""
	switch fun := fun.(type) {
	case *ast.Ident:
		name = fun.Name
	case *ast.SelectorExpr:
		name = fun.Sel.Name
	}
	return slices.Contains([]string{"getenv", "lookupenv", "environment"}, strings.ToLower(name))
}

// annotation is the name of one, as it stands in the source.
var annotation = regexp.MustCompile(`^(run\.oci|run\.homerun|module\.wasm|org\.opencontainers\.image)\.[a-zA-Z0-9_./-]+$`)

// Annotations that the code names stand in homerun-config(5).
func TestEachAnnotationHasALine(t *testing.T) {
	named := map[string]bool{}
	source(t, func(_ string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && annotation.MatchString(text(lit)) && !strings.HasSuffix(text(lit), ".") {
				named[text(lit)] = true
			}
			return true
		})
	})
	if !named["run.homerun.net"] || !named["run.oci.hooks.stdout"] {
		t.Fatalf("found %v", named)
	}
	have := terms(t, "homerun-config", "ANNOTATIONS")
	for name := range named {
		if !slices.Contains(have, name) {
			t.Errorf("homerun-config(5) has no line for the annotation %s", name)
		}
	}
	for _, name := range have {
		if !named[name] && name != "org.systemd.property.NAME" {
			t.Errorf("homerun-config(5): nothing reads the annotation %s", name)
		}
	}
}
