package main

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// globals finds package-level variables that are neither errors nor tables.
// Tests and tools may have flags and patterns.
func globals(t *tree) ([]finding, error) {
	var found []finding
	for _, f := range t.product() {
		assembly, err := t.assembly(f.dir)
		if err != nil {
			return nil, err
		}
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR || embeds(g) {
				continue
			}
			for _, name := range variables(g, f, assembly) {
				found = append(found, t.at(f, name.Pos(), "variable %s", name.Name))
			}
		}
	}
	return found, nil
}

// variables lists what a declaration makes that can change.
func variables(g *ast.GenDecl, f *gofile, assembly string) []*ast.Ident {
	var list []*ast.Ident
	for _, s := range g.Specs {
		spec, ok := s.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range spec.Names {
			if !harmless(name, valueOf(spec, i), f, assembly) {
				list = append(list, name)
			}
		}
	}
	return list
}

func valueOf(spec *ast.ValueSpec, i int) ast.Expr {
	if i < len(spec.Values) {
		return spec.Values[i]
	}
	return nil
}

// harmless are errors, tables, assertions that a type satisfies an interface,
// what the linker sets (-X main.version), and what assembly defines or takes
// another package's variable by.
func harmless(name *ast.Ident, value ast.Expr, f *gofile, assembly string) bool {
	if name.Name == "_" {
		return true
	}
	if f.ast.Name.Name == "main" && (name.Name == "version" || name.Name == "commit") {
		return true
	}
	if value == nil || isAddress(value) {
		return strings.Contains(assembly, "·"+name.Name)
	}
	return isError(value, f) || isLiteral(value, f)
}

// isAddress accepts &package.Name, by which assembly reaches another package.
func isAddress(value ast.Expr) bool {
	u, ok := value.(*ast.UnaryExpr)
	if !ok || u.Op != token.AND {
		return false
	}
	_, ok = u.X.(*ast.SelectorExpr)
	return ok
}

func isError(value ast.Expr, f *gofile) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	made := f.imports[lastName(sel.X)] + "." + sel.Sel.Name
	return made == "errors.New" || made == "fmt.Errorf"
}

// isLiteral accepts T{...}, &T{...}, [...]T{...} and conversions of constants
// to bytes, but not locks, pools and once-values, which are state.
func isLiteral(value ast.Expr, f *gofile) bool {
	if u, ok := value.(*ast.UnaryExpr); ok && u.Op == token.AND {
		value = u.X
	}
	lit, ok := value.(*ast.CompositeLit)
	if !ok {
		return false
	}
	sel, ok := lit.Type.(*ast.SelectorExpr)
	return !ok || !slices.Contains([]string{"sync", "sync/atomic"}, f.imports[lastName(sel.X)])
}

// embeds reports whether a file of the repository fills the variable.
func embeds(g *ast.GenDecl) bool {
	return g.Doc != nil && slices.ContainsFunc(g.Doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

// assembly is the text of a package's assembly files.
func (t *tree) assembly(dir string) (string, error) {
	var all strings.Builder
	for _, name := range t.files {
		if path.Dir(name) != dir || path.Ext(name) != ".s" {
			continue
		}
		text, err := t.text(name)
		if err != nil {
			return "", err
		}
		all.WriteString(text)
	}
	return all.String(), nil
}
