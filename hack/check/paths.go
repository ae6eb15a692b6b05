package main

import (
	"go/ast"
	"slices"
)

// inRootfs are the packages that deal with what lies in a container's rootfs.
var inRootfs = []string{"plan", "compile", "rootfs", "stage", "process", "userns", "netns", "host/probe"}

// racy maps calls that resolve a path again to what came of them elsewhere.
var racy = map[string]string{
	"os.Create":          "CVE-2026-88264: a symbolic link at the target makes a file on the host",
	"os.Mkdir":           "CVE-2024-45310: a component swapped for a symbolic link makes directories on the host",
	"os.MkdirAll":        "CVE-2024-45310: a component swapped for a symbolic link makes directories on the host",
	"os.Remove":          "CVE-2026-41579: a symbolic link in the image removes the host's file",
	"os.RemoveAll":       "CVE-2026-41579: a symbolic link in the image removes the host's file",
	"path/filepath.Join": "CVE-2021-30465: a joined path is checked once and resolved again when it is used",
}

func rootfsPaths(t *tree) ([]finding, error) {
	var found []finding
	for _, f := range t.source() {
		if !slices.Contains(inRootfs, f.dir) {
			continue
		}
		f.calls(func(pkg, name string, call *ast.CallExpr) {
			if story := racy[pkg+"."+name]; story != "" {
				found = append(found, t.at(f, call.Pos(), "calls %s.%s; %s; use openat2(RESOLVE_IN_ROOT)", pkg, name, story))
			}
		})
	}
	return found, nil
}
