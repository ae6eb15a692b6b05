package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const program = `package main

func main() { first(); second(); third() }

//go:noinline
func first() { println(1) }

//go:noinline
func second() { println(2) }

//go:noinline
func third() { println(3) }
`

// TestOrder has a program's functions in the order of a list, and in another one after
// the list has changed. Those that it does not name come after.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "order.txt")
	write(t, filepath.Join(dir, "go.mod"), "module order\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "main.go"), program)
	goBuild(t, ".", "-o", filepath.Join(dir, "order"))
	for _, order := range [][]string{{"main.third", "main.main", "main.second"}, {"main.second", "main.third", "main.main"}} {
		write(t, list, strings.Join(order, "\n")+"\nmain.gone\n")
		goBuild(t, dir, "-o", filepath.Join(dir, "program"), "-toolexec", filepath.Join(dir, "order")+" "+list)
		if got := functions(t, filepath.Join(dir, "program")); !strings.HasPrefix(got, strings.Join(order, " ")+" ") || !strings.Contains(got, " main.first ") {
			t.Errorf("the functions begin %.80s..., want %q", got, order)
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func goBuild(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "Go's order") {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// functions lists the functions of a program by their addresses.
func functions(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("go", "tool", "nm", "-n", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 2 && strings.EqualFold(fields[1], "t") && fields[2] != "runtime.text" {
			list.WriteString(fields[2] + " ")
		}
	}
	return list.String()
}

// A Go whose linker is another one is told by its source.
func TestInsertRefusesAnotherLinker(t *testing.T) {
	for _, text := range []string{"", "\tsort.SliceStable(ctxt.Textp, func(", strings.Repeat(insertions[0][0]+insertions[1][0], 2)} {
		if _, err := insert([]byte(text)); err == nil || !strings.Contains(err.Error(), "times in data.go, not once") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}
