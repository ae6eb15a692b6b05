package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const program = `package main

import "os"

func main() {
	if len(os.Args) > 1 {
		called()
	}
	os.Exit(3)
}

//go:noinline
func called() { println(1) }
`

// TestTrace sees which functions a program calls, and its exit status.
func TestTrace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "program")
	if err := os.WriteFile(file+".go", []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", file, file+".go").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, args := range [][]string{nil, {"call"}} {
		names, status, err := trace(file, args)
		if err != nil || status != 3 || !slices.Contains(names, "main.main") || slices.Contains(names, "main.called") != (args != nil) {
			t.Errorf("%q: status %d, %d functions: %v", args, status, len(names), err)
		}
	}
}

// What is read comes first, then what most verbs call, then what the same verbs do, what they always call before the rest.
func TestMerge(t *testing.T) {
	dir := t.TempDir()
	for name, functions := range map[string]string{"run.1": "all run often runtime.main", "run.2": "all run seldom", "state.1": "state all", "state.2": "other all"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(functions, " ", "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := merged(dir)
	if want := append(slices.Clone(looked), "all", "run", "often", "seldom", "other", "state"); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, want %s: %v", got, want, err)
	}
}
