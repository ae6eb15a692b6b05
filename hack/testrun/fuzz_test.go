package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestFuzz holds hack/fuzz to what a target's output says: the end of the time that go
// reports as a failure is none, and each failure of the target is one.
func TestFuzz(t *testing.T) {
	const (
		progress = "fuzz: elapsed: 3s, execs: 9 (3/sec), new interesting: 1 (total: 8)\n"
		ended    = "--- FAIL: FuzzThing (3.20s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\tthing\t3.202s\n"
		found    = "--- FAIL: FuzzThing (1.20s)\n    --- FAIL: FuzzThing (0.00s)\n        fuzz_test.go:49: context deadline exceeded\n    \n" +
			"    Failing input written to testdata/fuzz/FuzzThing/1f26b356\nFAIL\n"
		// The target fails with these words, and what it says ends as the engine's message does.
		same    = "--- FAIL: FuzzThing (1.20s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzThing/1f26b356\nFAIL\n"
		compile = "# thing\n./fuzz_test.go:3:1: syntax error\nFAIL\tthing [build failed]\n"
	)
	for _, test := range []struct {
		name, output, status string
		passes               bool
	}{
		{"passed", progress + "PASS\n", "0", true},
		{"the end of the time", progress + ended, "1", true},
		{"found", progress + found, "1", false},
		{"found with those words", progress + same, "1", false},
		{"not compiled", compile, "1", false},
		{"killed", progress, "137", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "thing_test.go"), "package thing\n\nfunc FuzzThing(f *testing.F) {}\n")
			write(t, filepath.Join(dir, "output"), test.output)
			write(t, filepath.Join(dir, "go"), `#!/bin/sh
case "$1 $2" in
"list -f") echo "`+dir+`" ;;
"list ./...") echo thing ;;
"test -list") echo FuzzThing ;;
"test -run") cat "`+dir+`/output"; exit `+test.status+` ;;
esac
`)
			cmd := exec.Command("../fuzz", ".", "3s")
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			if out, err := cmd.CombinedOutput(); (err == nil) != test.passes {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
