package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/doctor"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/lint"
)

// TestMain lets the test be what it starts in namespaces of its own.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == attemptVerb {
		os.Exit(run(os.Args, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// start runs the helper as homerun does.
func start(args ...string) (status int, out, errors string) {
	var stdout, stderr bytes.Buffer
	status = run(append([]string{"homerun-doctor"}, args...), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// TestText: a line a row, and below it what to do, for people.
func TestText(t *testing.T) {
	got := text([]doctor.Row{{Name: "a", State: doctor.OK, Found: "there\x1b[2J"}, {Name: "b", State: doctor.Missing, Found: "gone",
		Consequence: "no b", Fix: []string{"sudo b", "printf 'x\ny'"}, Advice: "log in again"}})
	want := `ok        a                   there\x1b[2J
missing   b                   gone
          no b
          $ sudo b
          $ printf 'x
            y'
          note: log in again
1 ok, 0 degraded, 1 missing
`
	if got != want {
		t.Errorf("%s", got)
	}
}

// homerun is a program in its place, which runs what it is asked to.
func homerun(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "homerun")
	script := "#!/bin/sh\necho 'homerun: debug:    1.000 ms  start-stage' >&2\n"
	if err := os.WriteFile(name, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestDoctor: JSON and text say the same, and so does the status.
func TestDoctor(t *testing.T) {
	program := homerun(t)
	status, out, errors := start("--homerun", program, "--root", t.TempDir(), "--json")
	var d document
	if err := json.Unmarshal([]byte(out), &d); err != nil || errors != "" {
		t.Fatalf("%v %s", err, errors)
	}
	if (status == 0) != d.Complete || len(d.Rows) < 10 || len(d.Phases) != 5 || d.Phases[0].Milliseconds != 1 {
		t.Errorf("%d %+v", status, d)
	}
	_, out, _ = start("--homerun", program, "--root", t.TempDir())
	for _, r := range d.Rows {
		if !strings.Contains(out, r.Name) {
			t.Errorf("%s is not shown", r.Name)
		}
	}
}

// TestAlone: who starts it by hand is told how it is meant.
func TestAlone(t *testing.T) {
	for _, args := range [][]string{{}, {"--no"}, {"--json"}} {
		if status, out, errors := start(args...); status != 2 || out != "" || !strings.Contains(errors, "homerun doctor") {
			t.Errorf("%q: %d %q %q", args, status, out, errors)
		}
	}
}

// bundleOf writes a bundle, with a program in its root.
func bundleOf(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	err := os.MkdirAll(filepath.Join(dir, "rootfs/bin"), 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "rootfs/bin/true"), []byte("#!/bin/sh\n"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

const head = `{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"user":{"uid":0,"gid":0},"cwd":"/","noNewPrivileges":true,"args":["true"]},
`

const namespaces = `"linux":{"namespaces":[{"type":"mount"},{"type":"pid"},{"type":"user"},{"type":"ipc"},{"type":"network"}]`

// TestLint: each kind of finding, in the order of the document, and the status.
func TestLint(t *testing.T) {
	for config, want := range map[string]string{
		// Nothing but a warning.
		head + namespaces + `}}`: "0 config.json:2:9: warning: linux.seccomp: there is no seccomp filter",
		// No JSON, and what no host can run.
		`{"ociVersion":}`:                                                                                                  "1 config.json:1:15: error: ociVersion: ",
		head + `"mounts":[{"destination":""}]}`:                                                                            "1 config.json:2:26: error: mounts[0].destination: ",
		head + `"hostnam":"x",` + namespaces + `}}`:                                                                        "1 config.json:2:11: error: hostnam: the specification has no such member, and it is ignored; did you mean hostname? [unknown]",
		head + `"annotations":{"run.homerun.net":"pastaa"},` + namespaces + `}}`:                                           "1 config.json:2:34: error: annotations[\"run.homerun.net\"]: ",
		head + `"annotations":{"run.homerun.stop-timeout":"5s"},` + namespaces + `}}`:                                      "1 config.json:2:43: error: annotations[\"run.homerun.stop-timeout\"]: want whole seconds, not \"5s\" [invalid]",
		head + `"annotations":{"run.homerun.stop-signal":"0"},` + namespaces + `}}`:                                        "1 config.json:2:42: error: annotations[\"run.homerun.stop-signal\"]: signal 0 ends nothing [invalid]",
		head + `"annotations":{"run.homerun.stop-signal":"INT","run.homerun.stop-timeout":"-1"},` + namespaces + `}}`:      "0 config.json:2:",
		head + `"annotations":{"x":"a","x":"b"},` + namespaces + `}}`:                                                      "0 config.json:2:28: warning: annotations.x: this is here more than once",
		head + `"hooks":{"prestart":[{"path":"/no/such"}]},` + namespaces + `}}`:                                           "1 config.json:2:30: error: hooks.prestart[0].path: /no/such: there is no such program [impossible]",
		head + `"mounts":[{"destination":"/x","type":"bind","source":"/no/such","options":["bind"]}],` + namespaces + `}}`: "1 config.json:2:11: error: mounts[0]: mount /no/such on /x: ",
	} {
		dir := bundleOf(t, config)
		status, out, errors := start("--homerun", "/nowhere/homerun", "--root", t.TempDir(), "--", "lint", dir)
		wantStatus, line, _ := strings.Cut(want, " ")
		if !strings.Contains("\n"+out, "\n"+dir+"/"+line) || (status == 0) != (wantStatus == "0") || errors != "" {
			t.Errorf("%s: %d\n%s%s\nwant %s", config, status, out, errors, want)
		}
		if again, _, _ := start("--homerun", "/nowhere/homerun", "--root", t.TempDir(), "--strict", "--", "lint", dir); again != 1 {
			t.Errorf("%s: strictly %d", config, again)
		}
	}
}

// TestLintOpen: what others can write decides what runs.
func TestLintOpen(t *testing.T) {
	dir := bundleOf(t, head+namespaces+`},"hooks":{"prestart":[{"path":"/dev/null"}]}}`)
	for _, name := range []string{"rootfs", "config.json"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	_, out, _ := start("--homerun", "/nowhere/homerun", "--root", t.TempDir(), "--json", "--", "lint", dir)
	var d lintDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	places := map[string]bool{}
	for _, f := range d.Findings {
		if strings.Contains(f.Message, "can be written by others") {
			places[f.Place] = true
		}
	}
	if !places[""] || !places["root.path"] || !places["hooks.prestart[0].path"] || len(places) != 3 {
		t.Errorf("%s", out)
	}
}

// TestLintSticky: what others may write, but not replace, as /tmp, says nothing of what runs.
func TestLintSticky(t *testing.T) {
	dir := bundleOf(t, head+namespaces+`}}`)
	if err := os.Chmod(filepath.Join(dir, "rootfs"), 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if _, out, _ := start("--homerun", "/nowhere/homerun", "--root", t.TempDir(), "--", "lint", dir); strings.Contains(out, "can be written by others") {
		t.Error(out)
	}
}

// TestNoBundle: what cannot be read is no finding.
func TestNoBundle(t *testing.T) {
	if status, out, errors := start("--homerun", "/h", "--", "lint", "/no/such"); status != 1 || out != "" || !strings.HasPrefix(errors, "homerun: lint: config.json of bundle /no/such: no such file") {
		t.Errorf("%d %q %q", status, out, errors)
	}
}

// TestErrorsOf: a list is as many findings, and a hint is advice.
func TestErrorsOf(t *testing.T) {
	list := errorsOf(lint.KindImpossible, &fault.Error{What: "outer", Cause: &fault.Error{Place: "a", Why: "b", Hint: "c\nd"}, Why: "x"})
	if len(list) != 1 || list[0].Place != "a" || list[0].Message != "b" || list[0].Advice != "c; d" {
		t.Errorf("%+v", list)
	}
	if list = errorsOf(lint.KindImpossible, os.ErrNotExist); len(list) != 1 || list[0].Message != "file does not exist" {
		t.Errorf("%+v", list)
	}
}
