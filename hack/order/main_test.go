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

// TestTraced: a verb is traced with its arguments. A run of a config.json with ambient capabilities is traced once more, as
// one that homerun warns of, in the same state root; the config.json of that is gone then.
func TestTraced(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"hack/order", ".out/calls", "spec", "podman", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("traced")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "hack/order/traced"), string(text))
	// It writes its arguments without the first, where the calls are to be, and the config.json.
	write(t, filepath.Join(dir, ".out/reached"), "#!/bin/bash\necho \"${1##*/} ${*:3}\" | sed 's/[.][^ ]*//; s, /[^ ]*/tmp/[^ ]*, COPY,'\n"+
		"[[ \" $* \" != *' -b '* ]] || cat \"${@: -2:1}/config.json\"\n")
	if err := os.Chmod(filepath.Join(dir, ".out/reached"), 0o755); err != nil {
		t.Fatal(err)
	}
	const inheritable = "\t\"inheritable\": [\n\t\t\"CAP_KILL\"\n\t],\n"
	ambient, plain := "{\n"+inheritable+"\t\"ambient\": [\n\t\t\"CAP_KILL\"\n\t]\n}\n", "{\n"+inheritable+"\t\"permitted\": []\n}\n"
	write(t, filepath.Join(dir, "spec/config.json"), ambient)
	write(t, filepath.Join(dir, "podman/config.json"), plain)
	for args, want := range map[string]string{
		"--root /r --systemd-cgroup run -b spec x":   "run --root /r --systemd-cgroup run -b spec x\n" + ambient + "run --root /r --cgroup-manager=disabled run -b COPY x\n" + strings.Replace(ambient, inheritable, "", 1),
		"--root /r --systemd-cgroup run -b podman x": "run --root /r --systemd-cgroup run -b podman x\n" + plain,
		"--root /r create -b spec x":                 "create --root /r create -b spec x\n" + ambient,
		"--root /r state x":                          "state --root /r state x\n", // and a list, whose output nobody sees
	} {
		cmd := exec.Command("bash", append([]string{filepath.Join(dir, "hack/order/traced")}, strings.Fields(args)...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+filepath.Join(dir, "tmp"))
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", args, err, out, want)
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
