package main

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"unicode"
)

// meaningless are package names that tell nothing.
var meaningless = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "types", "system", "lib"}

func packageNames(t *tree) ([]finding, error) {
	var found []finding
	for _, f := range t.gofiles {
		name := strings.TrimSuffix(f.ast.Name.Name, "_test")
		if slices.Contains(meaningless, name) || slices.Contains(meaningless, path.Base(f.dir)) {
			found = append(found, t.at(f, f.ast.Package, "package %s in %s", name, f.dir))
		}
	}
	return found, nil
}

func initFunctions(t *tree) ([]finding, error) {
	var found []finding
	t.functions(func(f *gofile, fn *ast.FuncDecl) {
		if fn.Recv == nil && fn.Name.Name == "init" {
			found = append(found, t.at(f, fn.Pos(), "has an init function"))
		}
	})
	return found, nil
}

func packageComments(t *tree) ([]finding, error) {
	first := map[string]*gofile{}
	commented := map[string]bool{}
	for _, f := range t.source() {
		if first[f.dir] == nil {
			first[f.dir] = f
		}
		commented[f.dir] = commented[f.dir] || f.ast.Doc != nil
	}
	var found []finding
	for dir, f := range first {
		if !commented[dir] {
			found = append(found, t.at(f, f.ast.Package, "package %s has no package comment", f.ast.Name.Name))
		}
	}
	return found, nil
}

func exportedDocs(t *tree) ([]finding, error) {
	var found []finding
	for _, f := range t.source() {
		if f.made {
			continue
		}
		for _, d := range f.ast.Decls {
			for _, name := range undocumented(d) {
				found = append(found, t.at(f, name.Pos(), "%s has no comment", name.Name))
			}
		}
	}
	return found, nil
}

// undocumented lists the exported names that a declaration gives no words to.
func undocumented(d ast.Decl) []*ast.Ident {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		if d.Doc == nil {
			return undocumentedSpecs(d.Specs)
		}
	}
	return nil
}

func undocumentedSpecs(specs []ast.Spec) []*ast.Ident {
	var list []*ast.Ident
	for _, s := range specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Doc == nil && s.Comment == nil && s.Name.IsExported() {
				list = append(list, s.Name)
			}
		case *ast.ValueSpec:
			if s.Doc == nil && s.Comment == nil && s.Names[0].IsExported() {
				list = append(list, s.Names[0])
			}
		}
	}
	return list
}

// exportedReceiver is true of functions too. Methods that satisfy a well-known
// interface say all by their names.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	if slices.Contains([]string{"Error", "String", "Unwrap", "Is", "MarshalJSON", "UnmarshalJSON"}, d.Name.Name) {
		return false
	}
	name := d.Recv.List[0].Type
	if star, ok := name.(*ast.StarExpr); ok {
		name = star.X
	}
	id, ok := name.(*ast.Ident)
	return ok && id.IsExported()
}

func errorComparisons(t *tree) ([]finding, error) {
	var found []finding
	constant := t.constants()
	for _, f := range t.gofiles {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if comparesErrors(n) && !constant[f.dir+"."+lastName(n.X)] && !constant[f.dir+"."+lastName(n.Y)] {
					found = append(found, t.at(f, n.Pos(), "compares errors with %s", n.Op))
				}
			case *ast.SwitchStmt:
				if n.Tag != nil && isErrorVariable(n.Tag) && !onErrnos(n.Body) {
					found = append(found, t.at(f, n.Pos(), "switches on an error"))
				}
			}
			return true
		})
	}
	return found, nil
}

// constants names each package's constants: errX may be the text of an error.
func (t *tree) constants() map[string]bool {
	names := map[string]bool{}
	for _, f := range t.gofiles {
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				if v, ok := s.(*ast.ValueSpec); ok {
					names[f.dir+"."+v.Names[0].Name] = true
				}
			}
		}
	}
	return names
}

// comparesErrors goes by names, which for errors are a firm custom in Go.
func comparesErrors(b *ast.BinaryExpr) bool {
	if b.Op != token.EQL && b.Op != token.NEQ || isNil(b.X) || isNil(b.Y) || isErrno(b.X) || isErrno(b.Y) {
		return false
	}
	return isErrorVariable(b.X) || isErrorVariable(b.Y) || isErrorValue(b.X) || isErrorValue(b.Y)
}

// isErrno knows unix.EINTR and the like: x/sys/unix returns them as they are,
// never wrapped. Those of package syscall come wrapped out of package os.
func isErrno(e ast.Expr) bool {
	sel, ok := e.(*ast.SelectorExpr)
	return ok && lastName(sel.X) == "unix" && strings.HasPrefix(sel.Sel.Name, "E")
}

// onErrnos reports whether a switch has no other cases than errnos and nil.
func onErrnos(b *ast.BlockStmt) bool {
	for _, s := range b.List {
		c, ok := s.(*ast.CaseClause)
		if !ok || slices.ContainsFunc(c.List, func(e ast.Expr) bool { return !isErrno(e) && !isNil(e) }) {
			return false
		}
	}
	return true
}

func isNil(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "nil"
}

// lastName is that of a variable, a field or another package's variable.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// isErrorVariable leaves fields out: in tests they are often an error's text.
func isErrorVariable(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && (id.Name == "err" || strings.HasSuffix(id.Name, "Err"))
}

// isErrorValue knows sentinels by their names: ErrNotExist, errClosed, EOF.
func isErrorValue(e ast.Expr) bool {
	name := lastName(e)
	if len(name) < 4 {
		return name == "EOF"
	}
	return strings.EqualFold(name[:3], "err") && unicode.IsUpper(rune(name[3]))
}
