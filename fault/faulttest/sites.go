package faulttest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Site is a string in the source that is a hint or a warning, or a part of one.
type Site struct {
	// At is its file and line.
	At string
	// Warning says that it is a warning.
	Warning bool
	// Words are the longest part that is the same whatever it is about.
	Words string
}

// least is how many bytes a string has at least that says something by itself; what is
// shorter joins others.
const least = 8

// source is what is known of a package.
type source struct {
	set   *token.FileSet
	files []*ast.File
	// parameter is the place of the parameter called hint, by the function's name.
	parameter map[string]int
	sites     []Site
	err       error
}

// Sites lists the hints and warnings of the package in a directory. An error is also a
// hint that cannot be followed to a string: one that is neither written where it is
// given nor comes from something called hint.
func Sites(dir string) ([]Site, error) {
	s, err := parse(dir)
	if err != nil {
		return nil, err
	}
	s.each(func(f *ast.FuncDecl) {
		if i := place(f.Type.Params); i >= 0 {
			s.parameter[f.Name.Name] = i
		}
	})
	for _, f := range s.files {
		ast.Inspect(f, s.look)
	}
	s.each(s.function)
	return s.sites, s.err
}

// parse reads a package's sources, without its tests.
func parse(dir string) (*source, error) {
	s := &source{set: token.NewFileSet(), parameter: map[string]int{}}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(s.set, name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
	}
	return s, nil
}

func (s *source) each(do func(*ast.FuncDecl)) {
	for _, f := range s.files {
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				do(f)
			}
		}
	}
}

// place is that of what is called hint in a list, or -1.
func place(list *ast.FieldList) int {
	n := 0
	if list != nil {
		for _, field := range list.List {
			for _, name := range field.Names {
				if isHint(name) {
					return n
				}
				n++
			}
		}
	}
	return -1
}

// isHint reports whether a name is that of a hint: hint, e.Hint, hintGrant, execHint.
func isHint(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		name := strings.ToLower(e.Name)
		return strings.HasPrefix(name, "hint") || strings.HasSuffix(name, "hint") || strings.HasSuffix(name, "hints")
	case *ast.SelectorExpr:
		return isHint(e.Sel)
	case *ast.CallExpr:
		return isHint(e.Fun)
	}
	return false
}

func isWarnings(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return strings.EqualFold(e.Name, "warnings") || strings.EqualFold(e.Name, "ignored")
	case *ast.SelectorExpr:
		return isWarnings(e.Sel)
	}
	return false
}

func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// look finds what is given to a hint or a warning.
func (s *source) look(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if isHint(n.Key) {
			s.hint(n.Value)
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if isHint(name) && i < len(n.Values) {
				s.hint(n.Values[i])
			}
		}
	case *ast.AssignStmt:
		for i, e := range n.Lhs {
			if isHint(e) && len(n.Lhs) == len(n.Rhs) {
				s.hint(n.Rhs[i])
			}
		}
	case *ast.CallExpr:
		s.call(n)
	}
	return true
}

func (s *source) call(n *ast.CallExpr) {
	called := name(n.Fun)
	switch i, ok := s.parameter[called]; {
	case ok && i < len(n.Args):
		s.hint(n.Args[i])
	case called == "warn" || called == "Warn":
		for _, e := range n.Args {
			s.add(e, true)
		}
	case called == "append" && isWarnings(n.Args[0]):
		for _, e := range n.Args[1:] {
			s.add(e, true)
		}
	}
}

// function finds what a function returns that is called hint, or has a result of that
// name.
func (s *source) function(f *ast.FuncDecl) {
	result := place(f.Type.Results)
	if result < 0 && !isHint(f.Name) {
		return
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			for i, e := range n.Results {
				if result < 0 || i == result {
					s.add(e, false)
				}
			}
		case *ast.AssignStmt:
			if result < 0 {
				for _, e := range n.Rhs {
					s.add(e, false)
				}
			}
		}
		return true
	})
}

// hint adds the strings of a hint. Where there are none it has to come from a hint.
func (s *source) hint(e ast.Expr) {
	if s.add(e, false) {
		return
	}
	known := false
	ast.Inspect(e, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		known = known || ok && isHint(e)
		return true
	})
	if text, ok := e.(*ast.BasicLit); ok && text.Value == `""` {
		known = true
	}
	if !known {
		s.err = fmt.Errorf("%s: a hint comes from something that is not called hint: name it so", s.set.Position(e.Pos()))
	}
}

// longest is the longest part of a string that is the same in a line: between the
// verbs of fmt, the places for an index, and the ends of lines.
func longest(text string) (words string) {
	parts := strings.Split(strings.NewReplacer("\n", "%v", "\t", "%v", "[]", "%v").Replace(text), "%")
	for i, part := range parts {
		if i > 0 {
			part = strings.TrimLeft(part, "-+# .0123456789[]")
			part = part[min(1, len(part)):]
		}
		if len(part) > len(words) {
			words = part
		}
	}
	return words
}

// add adds the strings of an expression, and reports whether there are any.
func (s *source) add(e ast.Expr, warning bool) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			_, isIndex := n.(*ast.IndexExpr) // whose key is no part of the text
			return !isIndex
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			return true
		}
		words := longest(text)
		found = found || words != ""
		if len(words) >= least {
			s.sites = append(s.sites, Site{s.set.Position(lit.Pos()).String(), warning, words})
		}
		return true
	})
	return found
}
