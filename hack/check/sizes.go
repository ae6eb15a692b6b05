package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// The budgets, in lines.
const (
	maxFile     = 500
	maxFunction = 80
	maxP90      = 40
	maxP99      = 60
	// maxBranches is how many ways there may be through a function: McCabe's
	// cyclomatic number.
	maxBranches = 20
	// maxParameters leaves the receiver out.
	maxParameters = 5
	// maxCase is how long a case of a switch may be that is called flat.
	maxCase = 10
	// fewFunctions is below which percentiles mean nothing.
	fewFunctions = 20
)

func fileSizes(t *tree) ([]finding, error) {
	var found []finding
	made := map[string]bool{}
	for _, f := range t.gofiles {
		made[f.path] = f.made
	}
	for _, name := range t.files {
		if made[name] || !isCode(name) {
			continue
		}
		text, err := t.text(name)
		if err != nil {
			return nil, err
		}
		if n := strings.Count(text, "\n"); n > maxFile {
			found = append(found, finding{where: name, what: fmt.Sprintf("%d lines, at most %d", n, maxFile)})
		}
	}
	return found, nil
}

// isCode reports whether people write and read it line by line. Scripts have no ending.
func isCode(name string) bool {
	return slices.Contains([]string{".go", ".s", ".c", ".h", ".sh", ""}, path.Ext(name)) && path.Base(name) != "LICENSE"
}

// functions visits each function that was written by hand.
func (t *tree) functions(visit func(f *gofile, fn *ast.FuncDecl)) {
	for _, f := range t.gofiles {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && !f.made {
				visit(f, fn)
			}
		}
	}
}

func functionSizes(t *tree) ([]finding, error) {
	var found []finding
	t.functions(func(f *gofile, fn *ast.FuncDecl) {
		if n := t.lines(fn); n > maxFunction && !t.isFlat(fn) {
			found = append(found, t.at(f, fn.Pos(), "%s has %d lines, at most %d", fn.Name.Name, n, maxFunction))
		}
	})
	return found, nil
}

// isFlat reports whether a function is mostly one table, or one switch of short
// cases. Those are long because their subject is, and read at any length.
func (t *tree) isFlat(fn *ast.FuncDecl) bool {
	flat := false
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if n == nil || flat {
			return false
		}
		flat = t.lines(n)*4 >= t.lines(fn)*3 && t.isTable(n)
		return !flat
	})
	return flat
}

func (t *tree) isTable(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CompositeLit:
		return true
	case *ast.SwitchStmt:
		return t.shortCases(n.Body)
	case *ast.TypeSwitchStmt:
		return t.shortCases(n.Body)
	}
	return false
}

func (t *tree) shortCases(b *ast.BlockStmt) bool {
	return !slices.ContainsFunc(b.List, func(s ast.Stmt) bool { return t.lines(s) > maxCase })
}

// functionShapes looks at branches and parameters of what is not a test.
func functionShapes(t *tree) ([]finding, error) {
	var found []finding
	t.functions(func(f *gofile, fn *ast.FuncDecl) {
		if f.test {
			return
		}
		if n := branches(fn); n > maxBranches && !t.isFlat(fn) {
			found = append(found, t.at(f, fn.Pos(), "%s has %d ways through it, at most %d", fn.Name.Name, n, maxBranches))
		}
		if n := fn.Type.Params.NumFields(); n > maxParameters {
			found = append(found, t.at(f, fn.Pos(), "%s has %d parameters, at most %d", fn.Name.Name, n, maxParameters))
		}
	})
	return found, nil
}

// branches is the cyclomatic number of a function.
func branches(fn *ast.FuncDecl) int {
	n := 1
	ast.Inspect(fn.Body, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if node.List != nil {
				n++
			}
		case *ast.CommClause:
			if node.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if node.Op == token.LAND || node.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

// functionLengths judges the whole, and tests by their own measure: none.
func functionLengths(t *tree) ([]finding, error) {
	var sizes []int
	t.functions(func(f *gofile, fn *ast.FuncDecl) {
		if !f.test {
			sizes = append(sizes, t.lines(fn))
		}
	})
	if len(sizes) < fewFunctions {
		return nil, nil
	}
	slices.Sort(sizes)
	var found []finding
	for _, b := range []struct {
		name    string
		percent int
		limit   int
	}{{"90th percentile", 90, maxP90}, {"99th percentile", 99, maxP99}} {
		if got := sizes[len(sizes)*b.percent/100]; got > b.limit {
			found = append(found, finding{where: "all functions", what: fmt.Sprintf("the %s is %d lines, at most %d", b.name, got, b.limit)})
		}
	}
	return found, nil
}
