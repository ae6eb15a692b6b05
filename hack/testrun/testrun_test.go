package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module writes a module whose tests pass, fail and are skipped.
func module(t *testing.T, body string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	files := map[string]string{
		"go.mod":    "module example.org/m\n\ngo 1.26\n",
		"m_test.go": "package m\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Getenv\n\n" + body,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// fakeMachine runs the command here, which is all the protocol asks for.
func fakeMachine(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "machine")
	text := "#!/bin/sh\nwhile [ \"$1\" != -- ]; do [ \"$1\" = --user ] && user=$2; [ \"$1\" = --kernel ] && kernel=$2; shift; done; shift\nexport user\n" + body
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	passes     = "func TestPass(t *testing.T) {}\n"
	fails      = "func TestFail(t *testing.T) { t.Error(\"wrong answer\") }\n"
	skips      = "func TestSkip(t *testing.T) { t.Run(\"sub\", func(t *testing.T) { t.Skip(\"no systemd\") }) }\n"
	wantsRoot  = "func TestRoot(t *testing.T) { if os.Getenv(\"user\") != \"root\" { t.Skip(\"not root\") } }\n"
	panics     = "func TestPanic(t *testing.T) { panic(\"out of cheese\") }\n"
	wantsStock = "func TestStock(t *testing.T) { if os.Getenv(\"HOMERUN_TEST_KERNEL\") != \"stock\" { t.Skip(\"needs a stock kernel: cpuset\") } }\n"
	wantsLabel = "func TestLabel(t *testing.T) { if os.Getenv(\"HOMERUN_TEST_KERNEL\") != \"selinux\" { t.Skip(\"needs SELinux\") } }\n"
	machineBad = "func TestIn(t *testing.T) { if os.Getenv(\"user\") == \"\" { t.Skip(\"host\") }; t.Fatal(\"broken in there\") }\n"
	builds     = "func TestBuild(t *testing.T) { undefined() }\n"
)

func TestRun(t *testing.T) {
	runHere := `exec "$@"`
	onlyStock := `[ "$kernel" = stock ] && exec "$@"; exit 125`
	onlyKernels := `[ -n "$kernel" ] && exec "$@"; exit 125`
	for name, tt := range map[string]struct {
		tests   string
		machine string
		strict  bool
		want    []string
		fails   bool
	}{
		"all pass":                   {tests: passes, want: []string{"1 passed, 0 failed"}},
		"a failure is shown":         {tests: passes + fails, fails: true, want: []string{"wrong answer", "1 passed, 1 failed"}},
		"a panic is shown":           {tests: panics, fails: true, want: []string{"out of cheese", "0 passed, 1 failed"}},
		"a build error is shown":     {tests: builds, fails: true, want: []string{"undefined: undefined", "0 passed, 1 failed"}},
		"a skip is told":             {tests: passes + skips, want: []string{"TestSkip/sub: m_test.go", "no systemd", "2 passed, 0 failed"}},
		"a skip fails where strict":  {tests: skips, strict: true, fails: true, want: []string{"1 passed, 1 failed"}},
		"a skip is run elsewhere":    {tests: passes + wantsRoot, machine: runHere, strict: true, want: []string{"as root", "2 passed, 0 failed"}},
		"a failure elsewhere counts": {tests: machineBad, machine: runHere, fails: true, want: []string{"broken in there", "0 passed, 1 failed"}},
		"no machine is no run":       {tests: wantsRoot, machine: "exit 125", strict: true, fails: true, want: []string{"did not run", "0 passed, 1 failed"}},
		"a stock kernel":             {tests: passes + wantsStock, machine: onlyStock, strict: true, want: []string{"stock kernel, as root: 1 tests", "2 passed, 0 failed"}},
		"SELinux":                    {tests: wantsLabel + wantsStock, machine: onlyKernels, strict: true, want: []string{"stock kernel, as root: 1 tests", "selinux kernel, as root: 1 tests", "2 passed, 0 failed"}},
		"no SELinux":                 {tests: wantsLabel + wantsStock, machine: onlyStock, strict: true, fails: true, want: []string{"1 passed, 1 failed"}},
		"no stock kernel":            {tests: wantsStock, machine: "exit 125", strict: true, fails: true, want: []string{"did not run", "0 passed, 1 failed"}},
		"skipped there too":          {tests: skips, machine: runHere, strict: true, fails: true, want: []string{"as dev: 1 tests", "as root: 1 tests", "not run anywhere"}},
	} {
		t.Run(name, func(t *testing.T) {
			module(t, tt.tests)
			var out strings.Builder
			r := runner{out: &out, strict: tt.strict}
			if tt.machine != "" {
				r.machine = fakeMachine(t, tt.machine)
			}
			if err := r.run([]string{"./..."}); (err != nil) != tt.fails {
				t.Errorf("error %v, want one: %v", err, tt.fails)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestShare(t *testing.T) {
	jobs := []job{{pkg: "a", binary: "x", tests: []string{"A1"}}, {pkg: "b", tests: []string{"B1", "B2", "B3", "B4"}}, {pkg: "c", tests: []string{"C1", "C2"}}}
	for n, want := range map[int][]string{1: {"a:A1 b:B1,B2,B3,B4 c:C1,C2"}, 2: {"a:A1 b:B2,B4 c:C2", "b:B1,B3 c:C1"}} {
		var got []string
		for _, part := range share(jobs, n) {
			var all []string
			for _, j := range part {
				all = append(all, j.pkg+":"+strings.Join(j.tests, ","))
			}
			got = append(got, strings.Join(all, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d machines: %q, not %q", n, got, want)
		}
	}
	if got := share(jobs[:1], 2); len(got) != 1 || len(got[0]) != 1 || got[0][0].binary != "x" {
		t.Errorf("one test: %v", got)
	}
	if got := share(nil, 2); len(got) != 0 {
		t.Errorf("no package: %d machines", len(got))
	}
}
