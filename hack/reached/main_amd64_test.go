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
	if want := append(slices.Clone(foremost), "all", "run", "often", "seldom", "other", "state"); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, want %s: %v", got, want, err)
	}
}

// TestForemost: the list that is in use begins with foremost, none of which homerun has given another name. (Another Go may have:
// then the linker passes over it.)
func TestForemost(t *testing.T) {
	const ours = "github.com/homerun-oci/homerun/"
	list, err := os.ReadFile("../../cmd/homerun/order.txt")
	if want := strings.Join(foremost, "\n") + "\n"; err != nil || !strings.HasPrefix(string(list), want) {
		t.Errorf("cmd/homerun/order.txt does not begin with the functions of foremost: run make order: %v", err)
	}
	file := filepath.Join(t.TempDir(), "homerun")
	if out, err := exec.Command("go", "build", "-o", file, "../../cmd/homerun").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	symbols, err := exec.Command("go", "tool", "nm", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for line := range strings.Lines(string(symbols)) {
		fields := strings.Fields(line)
		has[strings.TrimSuffix(fields[len(fields)-1], ".abi0")] = true
	}
	for _, name := range foremost {
		if strings.HasPrefix(name, ours) && !has[name] {
			t.Errorf("homerun has no function %s", name)
		}
	}
}
