package main

import (
	"go/ast"
	"slices"
)

// facade lists the packages whose functions other programs call.
var facade = []string{"container", "store"}

// booleanParameters looks for calls of which a reader cannot tell what true means:
// two booleans, or one of a function that is for others.
func booleanParameters(t *tree) ([]finding, error) {
	var found []finding
	t.functions(func(f *gofile, fn *ast.FuncDecl) {
		if f.test || f.tool {
			return
		}
		n := booleans(fn.Type.Params)
		if n > 1 {
			found = append(found, t.at(f, fn.Pos(), "%s takes %d booleans", fn.Name.Name, n))
		} else if n > 0 && fn.Name.IsExported() && slices.Contains(facade, f.dir) {
			found = append(found, t.at(f, fn.Pos(), "%s takes a boolean", fn.Name.Name))
		}
	})
	return found, nil
}

// booleans counts the parameters that are.
func booleans(list *ast.FieldList) int {
	n := 0
	for _, p := range list.List {
		if id, ok := p.Type.(*ast.Ident); ok && id.Name == "bool" {
			n += max(len(p.Names), 1)
		}
	}
	return n
}
