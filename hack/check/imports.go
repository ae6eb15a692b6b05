package main

import (
	"slices"
	"strconv"
	"strings"
)

func unsafeImports(t *tree) ([]finding, error) {
	return eachImport(t, func(f *gofile, imported string) string {
		if imported == "unsafe" && !f.test && f.dir != "stage" && !strings.HasSuffix(f.path, "_unsafe.go") {
			return "imports unsafe"
		}
		return ""
	}), nil
}

func cgoImports(t *tree) ([]finding, error) {
	return eachImport(t, func(f *gofile, imported string) string {
		if imported == "C" && f.dir != "cmd/homerun-seccomp" {
			return "uses cgo"
		}
		return ""
	}), nil
}

// heavy are packages that our own code can do without; what a dependency
// drags in is the main-binary rule's business.
var heavy = []string{"regexp", "text/template", "html/template", "net/http", "encoding/gob", "log/slog"}

func heavyImports(t *tree) ([]finding, error) {
	return eachImport(t, func(f *gofile, imported string) string {
		free := f.tool || f.test || f.dir == "cmd/homerun-net" || f.dir == "cmd/homerun-seccomp"
		// Cobra links and initializes it in any case.
		free = free || f.dir == "cmd/homerun" && imported == "regexp"
		if !free && slices.Contains(heavy, imported) {
			return "imports " + imported
		}
		return ""
	}), nil
}

// beside lists what of this module the command imports beside package container and
// the pure packages, and why.
var beside = map[string]string{
	"bundle":            "bundles are read by who asks for a container, a Go program as well",
	"cmd/homerun/early": "its own",
	"cmd/homerun/first": "its own",
	"rootfs/copytree":   "homerun is the program that copies apart, for every caller of the library",
}

// commandImports keeps the command a user of the library: what it needs, other
// programs need too.
func commandImports(t *tree) ([]finding, error) {
	return eachImport(t, func(f *gofile, imported string) string {
		dir, ours := strings.CutPrefix(imported, t.module+"/")
		if f.test || f.dir != "cmd/homerun" || !ours || dir == "container" || beside[dir] != "" || slices.Contains(pure, dir) {
			return ""
		}
		return "the command imports " + dir + ", which package container should offer"
	}), nil
}

// ranks orders the packages; one may import its own rank and below.
var ranks = []struct {
	rank int
	dirs []string
}{
	{0, []string{"plain", "fault", "jsonread", "plan", "host", "bundle", "descriptor", "proc", "pidfile", "spawn", "internal"}},
	{1, []string{"userns", "rootfs", "netns", "limits", "cgroupv2", "systemd", "process", "intelrdt", "seccomp", "spec", "store", "action", "hook"}},
	{2, []string{"stage", "compile", "host/probe", "doctor", "lint", "runflags"}},
	{3, []string{"cgroup", "launch", "container"}},
	{4, []string{"cmd", "examples", "hack", "tests"}},
}

// rankOf is that of the longest directory that the package lies in.
func rankOf(dir string) (rank int, ok bool) {
	longest := -1
	for _, r := range ranks {
		for _, d := range r.dirs {
			if within(dir, d) && len(d) > longest {
				rank, longest = r.rank, len(d)
			}
		}
	}
	return rank, longest >= 0
}

func layers(t *tree) ([]finding, error) {
	found := eachImport(t, func(f *gofile, imported string) string {
		dir, ours := strings.CutPrefix(imported, t.module+"/")
		if !ours || f.test {
			return ""
		}
		from, _ := rankOf(f.dir)
		to, _ := rankOf(dir)
		if to > from {
			return f.dir + " imports " + dir + ", which lies above it"
		}
		return ""
	})
	return append(found, unranked(t)...), nil
}

// unranked finds packages that nobody has given a place yet.
func unranked(t *tree) []finding {
	var found []finding
	seen := map[string]bool{}
	for _, f := range t.source() {
		if _, ok := rankOf(f.dir); !ok && !seen[f.dir] {
			seen[f.dir] = true
			found = append(found, t.at(f, f.ast.Package, "package %s has no place among the layers in hack/check", f.dir))
		}
	}
	return found
}

// eachImport asks about every import and makes findings of the answers.
func eachImport(t *tree, ask func(f *gofile, imported string) string) []finding {
	var found []finding
	for _, f := range t.gofiles {
		for _, spec := range f.ast.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			if what := ask(f, imported); what != "" {
				found = append(found, t.at(f, spec.Pos(), "%s", what))
			}
		}
	}
	return found
}
