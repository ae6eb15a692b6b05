package main

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// The budgets, in lines.
const (
	maxFile     = 500
	maxFunction = 80
	maxMedian   = 10
	maxP90      = 40
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

// isCode tells what people write and read line by line. Scripts have no ending.
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

// isFlat tells whether a function is mostly one table, or one switch of short
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

// functionMedian judges the whole, and tests by their own measure: none.
func functionMedian(t *tree) ([]finding, error) {
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
	}{{"median", 50, maxMedian}, {"90th percentile", 90, maxP90}} {
		if got := sizes[len(sizes)*b.percent/100]; got > b.limit {
			found = append(found, finding{where: "all functions", what: fmt.Sprintf("the %s is %d lines, at most %d", b.name, got, b.limit)})
		}
	}
	return found, nil
}
