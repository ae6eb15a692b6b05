// Reached tells which functions of a Go program run.
//
//	reached FILE PROGRAM ARGS...    runs a program that has its symbols, and writes the names to FILE, in the order of their first calls
//	reached -merge DIR              reads files called VERB or VERB.ANYTHING, and prints the order for hack/order
//
// In that order come first some that are read (foremost), then those that most verbs
// call, and what the same verbs call stands together. So a verb needs few pages that are not its own.
package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: reached FILE PROGRAM ARGS... | reached -merge DIR")
		os.Exit(2)
	}
	status, err := 0, error(nil)
	if os.Args[1] == "-merge" {
		var names []string
		names, err = merged(os.Args[2])
		fmt.Println(strings.Join(names, "\n"))
	} else {
		status, err = record(os.Args[1], os.Args[2], os.Args[3:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reached:", err)
		status = 125
	}
	os.Exit(status)
}

func record(file, program string, args []string) (int, error) {
	names, status, err := trace(program, args)
	if err != nil {
		return 0, err
	}
	return status, os.WriteFile(file, []byte(strings.Join(names, "\n")+"\n"), 0o644)
}

// foremost are the functions that come before all others, in the order in which they are to stand. They are read, whether or
// not a verb calls them: Go looks them up in its tables when it starts and when its first stack grows, and these tables have the
// order of the functions; homerun copies the stage's code. So what is read stands together: a run maps 8 pieces of 64 KiB less
// (41 for 49, 2026-11).
var foremost = []string{
	"runtime.goexit", "runtime.asyncPreempt", "runtime.asyncPreempt2", "runtime.xRegRestore", "runtime.main", "runtime.doInit1",
	"github.com/homerun-oci/homerun/cmd/homerun/first.init", "github.com/homerun-oci/homerun/cmd/homerun/first.prepare",
	"github.com/homerun-oci/homerun/cmd/homerun/first.growStack",
	"github.com/homerun-oci/homerun/stage.stage",
}

// function is what is known of a function.
type function struct {
	name  string
	verbs map[string]bool // that call it
	files int             // in which it is
	first int             // its place among the first calls; the least of all files
}

// merged is the order by the files in a directory.
func merged(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	functions := map[string]*function{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		verb, _, _ := strings.Cut(filepath.Base(file), ".")
		for i, name := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			f := functions[name]
			if f == nil {
				f = &function{name: name, verbs: map[string]bool{}, first: i}
				functions[name] = f
			}
			f.verbs[verb], f.first = true, min(f.first, i)
			f.files++
		}
	}
	names := slices.Clone(foremost)
	for _, f := range slices.SortedFunc(maps.Values(functions), compare) {
		if !slices.Contains(foremost, f.name) {
			names = append(names, f.name)
		}
	}
	return names, nil
}

func compare(a, b *function) int {
	return cmp.Or(cmp.Compare(len(b.verbs), len(a.verbs)), slices.Compare(slices.Sorted(maps.Keys(a.verbs)), slices.Sorted(maps.Keys(b.verbs))),
		cmp.Compare(b.files, a.files), cmp.Compare(a.first, b.first), cmp.Compare(a.name, b.name))
}
