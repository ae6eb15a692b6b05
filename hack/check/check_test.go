package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write makes a module of the given files, with the dependencies of this one.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, root, name, string(text))
	}
	for name, text := range files {
		put(t, root, name, text)
	}
	return root
}

func put(t *testing.T, root, name, text string) {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// apply runs one rule over a tree.
func apply(t *testing.T, name string, files map[string]string) []finding {
	t.Helper()
	tr, err := load(write(t, files))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(rules, func(r rule) bool { return r.name == name })
	if i < 0 {
		t.Fatalf("no rule %s", name)
	}
	found, err := rules[i].check(tr)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// lines is n lines of code for the inside of a function.
func lines(n int) string { return strings.Repeat("\tprintln()\n", n) }

const (
	sysImport = "import \"golang.org/x/sys/unix\"\n"
	self      = "github.com/homerun-oci/homerun/"
)

// cases has at least one violation for each rule: want is part of the finding.
// Where want is empty the rule must be content.
var cases = []struct {
	rule string
	file string
	text string
	want string
}{
	{"pure-imports", "plan/a.go", "package plan\nimport \"os\"\n", "plan imports os"},
	{"pure-names", "compile/t.go", "package compile\nimport \"time\"\nvar _ = time.Now()\n", "compile uses time.Now"},
	{"pure-imports", "systemd/a.go", "package systemd\nimport \"net\"\n", "systemd imports net"},
	{"pure-imports", "systemd/bus/job.go", "package bus\nimport \"net\"\n", ""},
	{"pure-imports", "compile/a.go", "package compile\nimport \"" + self + "host/probe\"\n", "imports host/probe, which is not pure"},
	{"pure-imports", "action/a.go", "package action\nimport \"" + self + "intelrdt/live\"\n", "imports intelrdt/live, which is not pure"},
	{"pure-imports", "compile/a.go", "package compile\nimport \"" + self + "seccomp/compiler\"\n", "imports seccomp/compiler, which is not pure"},
	{"pure-imports", "compile/a.go", "package compile\nimport \"" + self + "netns/device\"\n", ""},
	{"pure-imports", "plan/a.go", "package plan\nimport \"math/rand\"\n", "plan imports math/rand"},
	{"pure-imports", "plan/a.s", "NOP\n", "has assembly"},
	{"pure-imports", "cgroupv2/live/kill.go", "package live\nimport \"os\"\n", ""},
	{"pure-imports", "plan/a_test.go", "package plan\nimport \"os\"\n", ""},
	{"pure-imports", "userns/install/a.go", "package install\nimport \"os\"\n", ""},
	{"pure-names", "plan/a.go", "package plan\n" + sysImport + "func f() { unix.Sync() }\n", "uses unix.Sync"},
	{"pure-names", "plan/a.go", "package plan\nimport u \"golang.org/x/sys/unix\"\nfunc f() { u.Sync() }\n", "uses unix.Sync"},
	{"pure-names", "plan/a.go", "package plan\n" + sysImport + "const e = unix.EPERM\nfunc f() unix.Errno { return unix.Errno(unix.Mkdev(1, 3)) }\n", ""},
	{"pure-names", "plan/a.go", "package plan\n" + sysImport + "func f() { g := unix.Sync; g() }\n", "uses unix.Sync"},
	{"pure-names", "plan/a.go", "package plan\n" + sysImport + "var table = map[string]func(){\"sync\": unix.Sync}\n", "uses unix.Sync"},
	{"pure-names", "plan/a.go", "package plan\nimport . \"golang.org/x/sys/unix\"\nfunc f() { Sync() }\n", "without its name"},
	{"pure-names", "plan/a.go", "package plan\nimport \"time\"\nvar now = time.Now\n", "uses time.Now"},
	{"pure-names", "plan/a.go", "package plan\nimport \"time\"\nfunc f(t *time.Timer) {}\n", "uses time.Timer"},
	{"pure-names", "plan/a.go", "package plan\nimport \"time\"\nconst d time.Duration = 3 * time.Second\n", ""},
	{"pure-names", "plan/a.go", "package plan\nimport \"fmt\"\nfunc f() { fmt.Println() }\n", "uses fmt.Println"},
	{"pure-names", "plan/a_test.go", "package plan\n" + sysImport + "func f() { unix.Sync() }\n", ""},
	{"pure-names", "host/probe/a.go", "package probe\n" + sysImport + "func f() { unix.Sync() }\n", ""},
	{"facts-read", "host/a.go", "package host\ntype Facts struct{ A int }\n", "nobody reads Facts.A"},
	{"facts-read", "host/needs.go", "package host\ntype Needs struct{ A int }\n", ""},
	{"unsafe", "plan/a.go", "package plan\nimport \"unsafe\"\n", "imports unsafe"},
	{"unsafe", "stage/a.go", "package stage\nimport \"unsafe\"\n", ""},
	{"unsafe", "cgroupv2/live/bpf_unsafe.go", "package live\nimport \"unsafe\"\n", ""},
	{"layers", "plan/a.go", "package plan\nimport \"" + self + "compile\"\n", "plan imports compile"},
	{"layers", "host/a.go", "package host\nimport \"" + self + "host/probe\"\n", "host imports host/probe"},
	{"layers", "compile/a.go", "package compile\nimport \"" + self + "rootfs\"\n", ""},
	{"layers", "compile/a_test.go", "package compile\nimport \"" + self + "container\"\n", ""},
	{"layers", "extra/a.go", "package extra\n", "no place among the layers"},
	{"command-imports", "cmd/homerun/a.go", "package main\nimport \"" + self + "store\"\n", "imports store, which package container should offer"},
	{"command-imports", "cmd/homerun/a.go", "package main\nimport _ \"" + self + "cgroupv2/live\"\n", "imports cgroupv2/live"},
	{"command-imports", "cmd/homerun/a.go", "package main\nimport (\n\"" + self + "container\"\n\"" + self + "bundle\"\n\"" + self + "plan\"\n\"os\"\n)\n", ""},
	{"command-imports", "cmd/homerun/a_test.go", "package main\nimport \"" + self + "store\"\n", ""},
	{"command-imports", "cmd/homerun-net/a.go", "package main\nimport \"" + self + "netns/client\"\n", ""},
	{"cgo", "stage/a.go", "package stage\nimport \"C\"\n", "uses cgo"},
	{"cgo", "cmd/homerun-seccomp/a.go", "package main\nimport \"C\"\n", ""},
	{"heavy-imports", "bundle/a.go", "package bundle\nimport \"regexp\"\n", "imports regexp"},
	{"heavy-imports", "hack/x/a.go", "package main\nimport \"regexp\"\n", ""},
	{"heavy-imports", "bundle/g.go", "//go:build ignore\n\npackage main\nimport \"regexp\"\n", ""},
	{"main-binary", "cmd/homerun/a.go", "package main\nimport _ \"net/http\"\nfunc main() {}\n", "links net/http"},
	{"main-binary", "cmd/homerun/a.go", "package main\nimport _ \"text/template\"\nfunc main() {}\n", "imports text/template"},
	{"main-binary", "cmd/homerun/a.go", "package main\nimport _ \"fmt\"\nfunc main() {}\n", ""},
	{"file-size", "plan/a.go", "package plan\n" + strings.Repeat("// x\n", 500), "501 lines"},
	{"file-size", "stage/a.s", strings.Repeat("NOP\n", 501), "501 lines"},
	{"file-size", "hack/tool", strings.Repeat("echo\n", 501), "501 lines"},
	{"file-size", "plan/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage plan\n" + strings.Repeat("// x\n", 500), ""},
	{"function-size", "plan/a.go", "package plan\nfunc f() {\n" + lines(80) + "}\n", "f has 82 lines"},
	{"function-size", "plan/a_test.go", "package plan\nfunc f() {\n" + lines(80) + "}\n", "f has 82 lines"},
	{"function-size", "plan/a.go", "package plan\nfunc f() {\n" + lines(78) + "}\n", ""},
	{"function-size", "plan/a.go", "package plan\nfunc f() {\n\tprint([]int{\n" + strings.Repeat("\t\t1,\n", 80) + "\t})\n}\n", ""},
	{"function-size", "plan/a.go", "package plan\nfunc f() {\n\tswitch {\n" + strings.Repeat("\tcase true:\n\t\tprintln()\n", 45) + "\t}\n}\n", ""},
	{"function-size", "plan/a.go", "package plan\nfunc f() {\n\tswitch {\n\tcase true:\n" + lines(90) + "\t}\n}\n", "f has 95 lines"},
	{"function-lengths", "plan/a.go", "package plan\n" + strings.Repeat("func _() {}\n", 17) + strings.Repeat("func _() {\n"+lines(50)+"}\n", 3), "90th percentile is 52"},
	{"function-lengths", "plan/a.go", "package plan\n" + strings.Repeat("func _() {}\n", 98) + strings.Repeat("func _() {\n"+lines(60)+"}\n", 2), "99th percentile is 62"},
	{"function-lengths", "plan/a.go", "package plan\n" + strings.Repeat("func _() {}\n", 40), ""},
	{"function-shapes", "plan/a.go", "package plan\nfunc f(a, b, c int, d, e, g string) {}\n", "f has 6 parameters"},
	{"function-shapes", "plan/a.go", "package plan\nfunc (t) f(a, b, c, d, e int) {}\n", ""},
	{"function-shapes", "plan/a.go", "package plan\nfunc f(a bool) {\n" + strings.Repeat("\tif a && !a {\n\t}\n", 10) + "}\n", "f has 21 ways"},
	{"function-shapes", "plan/a.go", "package plan\nfunc f(a bool) {\n" + strings.Repeat("\tif a && !a {\n\t}\n", 9) + "}\n", ""},
	{"booleans", "plan/a.go", "package plan\nfunc f(a, b bool) {}\n", "f takes 2 booleans"},
	{"booleans", "plan/a.go", "package plan\nfunc (t) f(a bool, n int, b bool) {}\n", "f takes 2 booleans"},
	{"booleans", "plan/a.go", "package plan\nfunc F(a bool) (b, c bool) { return }\n", ""},
	{"booleans", "container/a.go", "package container\nfunc (t) F(a bool) {}\n", "F takes a boolean"},
	{"booleans", "container/a.go", "package container\nfunc f(a bool) {}\n", ""},
	{"booleans", "container/live/a.go", "package live\nfunc F(a bool) {}\n", ""},
	{"package-names", "internal/utils/a.go", "package utils\n", "package utils"},
	{"package-names", "internal/helpers/a.go", "package fd\n", "package fd in internal/helpers"},
	{"package-names", "internal/fd/a.go", "package fd\n", ""},
	{"no-init", "plan/a.go", "package plan\nfunc init() {}\n", "init function"},
	{"no-init", "plan/a.go", "package plan\ntype t int\nfunc (t) init() {}\n", ""},
	{"no-globals", "plan/a.go", "package plan\nvar count int\n", "variable count"},
	{"no-globals", "plan/a.go", "package plan\nimport \"sync\"\nvar mu = sync.Mutex{}\n", "variable mu"},
	{"no-globals", "plan/a.go", "package plan\nimport \"strings\"\nvar r = strings.NewReplacer()\n", "variable r"},
	{"no-globals", "plan/a.go", "package plan\nimport \"errors\"\nvar ErrX = errors.New(\"x\")\nvar table = map[string]int{\"a\": 1}\nvar _ error = ErrX\n", ""},
	{"no-globals", "plan/a.go", "package plan\nimport \"runtime\"\nvar rate = &runtime.MemProfileRate\n", "variable rate"},
	{"no-globals", "cmd/homerun/a.go", "package main\nvar (\n\tversion = \"dev\"\n\tcommit string\n)\n", ""},
	{"documented", "plan/a.go", "package plan\nfunc F() {}\n", "F has no comment"},
	{"documented", "plan/a.go", "package plan\ntype T int\n", "T has no comment"},
	{"documented", "plan/a.go", "package plan\nconst C = 1\n", "C has no comment"},
	{"documented", "plan/a.go", "package plan\ntype t int\nfunc (t) F() {}\n// The constants.\nconst (\n\tA = 1\n\tB = 2\n)\nfunc (*T) String() string { return \"\" }\n// T is.\ntype T int\n", ""},
	{"package-comments", "plan/a.go", "package plan\n", "plan has no package comment"},
	{"package-comments", "plan/a.go", "// Package plan is.\npackage plan\n", ""},
	{"errors-is", "plan/a.go", "package plan\nimport \"io\"\nfunc f(err error) bool { return err == io.EOF }\n", "compares errors with =="},
	{"errors-is", "plan/a.go", "package plan\nfunc f(a, errX error) bool { return a != errX }\n", "compares errors with !="},
	{"errors-is", "plan/a.go", "package plan\nfunc f(err error) {\n\tswitch err {\n\tcase nil:\n\tcase ErrX:\n\t}\n}\n", "switches on an error"},
	{"errors-is", "plan/a.go", "package plan\nimport \"syscall\"\nfunc f(err error) bool { return err == syscall.EPERM }\n", "compares errors with =="},
	{"errors-is", "plan/a.go", "package plan\n" + sysImport + "func f(err error) bool { return err == nil || err == unix.EPERM || errno == 3 }\n", ""},
	{"errors-is", "plan/a.go", "package plan\nconst errText = \"x\"\nfunc f(s string) bool { return s == errText }\n", ""},
	{"errors-is", "plan/a_test.go", "package plan\nfunc f() bool { return tt.err != \"\" && got != tt.err }\n", ""},
	{"rootfs-paths", "rootfs/a.go", "package rootfs\nimport \"path/filepath\"\nvar x = filepath.Join(\"a\", \"b\")\n", "CVE-2021-30465"},
	{"rootfs-paths", "host/probe/a.go", "package probe\nimport \"os\"\nfunc f() { os.MkdirAll(\"a\", 0) }\n", "CVE-2024-45310"},
	{"rootfs-paths", "container/a.go", "package container\nimport \"os\"\nfunc f() { os.MkdirAll(\"a\", 0) }\n", ""},
	{"outside-references", "docs/a.md", "see ../" + "shared/X.md\n", "names"},
	{"outside-references", "hack/tool", "cd /" + "work/main\n", "names"},
	{"outside-references", "docs/a.md", "upperdir=/x,workdir=/y/work and /home/u/work/x\n", ""},
}

func TestRules(t *testing.T) {
	for _, tt := range cases {
		name := tt.rule + "/" + tt.want
		if tt.want == "" {
			name = tt.rule + "/content"
		}
		t.Run(name, func(t *testing.T) {
			found := apply(t, tt.rule, map[string]string{tt.file: tt.text})
			hit := slices.ContainsFunc(found, func(f finding) bool { return strings.Contains(f.what, tt.want) })
			if tt.want != "" && !hit {
				t.Errorf("found %v, want %q", found, tt.want)
			}
			if tt.want == "" && len(found) > 0 {
				t.Errorf("found %v, want nothing", found)
			}
		})
	}
}

// TestFactsRead: what is only written, or read where it is measured, has no reader;
// what is read as another type has.
func TestFactsRead(t *testing.T) {
	facts := "package host\ntype Facts struct{ Read, Written, Measured int; Part Part; Whole *Whole }\n" +
		"type Part struct{ A, B int }\ntype Whole struct{ C int }\n"
	uses := func(name, text string) string {
		return "package " + name + "\nimport \"" + self + "host\"\n" + text
	}
	found := apply(t, "facts-read", map[string]string{
		"host/facts.go":      facts,
		"host/probe/a.go":    uses("probe", "func f(f *host.Facts) int { return f.Measured }\n"),
		"compile/a.go":       uses("compile", "func f(f *host.Facts) int { f.Written = 1; return f.Read + f.Part.A }\n"),
		"cgroupv2/a.go":      uses("cgroupv2", "type mine struct{ C int }\nfunc f(f host.Facts) mine { return mine(*f.Whole) }\n"),
		"compile/a_test.go":  uses("compile", "func g(f *host.Facts) int { return f.Part.B }\n"),
		"tests/x/compile.go": uses("x", "func g(f *host.Facts) int { return f.Part.B }\n"),
	})
	var got []string
	for _, f := range found {
		got = append(got, f.what)
	}
	if want := []string{"nobody reads Facts.Written", "nobody reads Facts.Measured", "nobody reads Part.B"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEveryRuleCanFail: a rule that nothing can break checks nothing.
func TestEveryRuleCanFail(t *testing.T) {
	broken := map[string]bool{"commit-subjects": true} // TestCommitSubjects
	for _, tt := range cases {
		broken[tt.rule] = broken[tt.rule] || tt.want != ""
	}
	for _, r := range rules {
		if !broken[r.name] {
			t.Errorf("rule %s has no case that breaks it", r.name)
		}
	}
}

func TestCommitSubjects(t *testing.T) {
	for subject, want := range map[string]string{
		"plan: print slots by name":        "",
		"cmd/homerun: add state":           "",
		"Fix things":                       "is not",
		"plan: " + strings.Repeat("x", 67): "73 columns",
	} {
		t.Run(subject, func(t *testing.T) {
			root := write(t, nil)
			for _, args := range [][]string{
				{"init", "-q"}, {"add", "go.mod"},
				{"-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", subject},
			} {
				cmd := exec.Command("git", args...)
				cmd.Dir = root
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("git %v: %v\n%s", args, err, out)
				}
			}
			found, err := commitSubjects(&tree{root: root})
			if err != nil {
				t.Fatal(err)
			}
			if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || !strings.Contains(found[0].what, want)) {
				t.Errorf("found %v, want %q", found, want)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	for name, tt := range map[string]struct {
		p    linked
		want string
	}{
		"helper's module": {linked{ImportPath: "github.com/rootless-containers/rootlesskit/v3/pkg/port"}, "homerun-net"},
		"libseccomp":      {linked{ImportPath: "github.com/seccomp/libseccomp-golang"}, "homerun-seccomp"},
		"cgo":             {linked{ImportPath: "example.org/c", CgoFiles: []string{"c.go"}}, "uses cgo"},
		"cgo in std":      {linked{ImportPath: "net", Standard: true, CgoFiles: []string{"c.go"}}, ""},
		"cobra":           {linked{ImportPath: "github.com/spf13/cobra", Imports: []string{"text/template"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(judge(tt.p), "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRun(t *testing.T) {
	var out strings.Builder
	good := write(t, map[string]string{"plan/a.go": "// Package plan is.\npackage plan\n"})
	if err := run(&out, good); err != nil || !strings.Contains(out.String(), "rules hold in 1 Go files") {
		t.Errorf("good tree: %v\n%s", err, out.String())
	}
	out.Reset()
	bad := write(t, map[string]string{"plan/a.go": "package plan\n"})
	if err := run(&out, bad); err == nil || !strings.Contains(out.String(), "where a reader starts") {
		t.Errorf("bad tree: error %v, output without the rule's reason:\n%s", err, out.String())
	}
}
