package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// lifecycleCommands are those that scripts about single verbs have:
//
//	oci STATUS VERB [ARG...]  run a verb, which exits with STATUS; "fail" is any but 0
//	becomes ID STATUS         wait until `state` prints STATUS
//	json PATH EXPRESSION      a member of the JSON in stdout, as text, matches
//	silent                    the last program wrote nothing
//	log FILE COUNT EXPRESSION the log: so many JSON objects, and the last one's message
//	alive PIDFILE             the process is there; "! alive" waits for its end
//
// What init is given as standard output and error are the files "oci ID.out" and
// "oci ID.err": a pipe would keep the script waiting for init's end.
func lifecycleCommands() map[string]command {
	c := consoles{}
	return map[string]command{
		"oci": cmdOCI, "becomes": cmdBecomes, "json": cmdJSON, "silent": cmdSilent, "log": cmdLog, "alive": cmdAlive,
		"console": c.command,
	}
}

func cmdOCI(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) < 2, "oci STATUS VERB [ARG...]")
	line := runnerOf(ts).runtime(ts, args[1], args[2:]...)
	status := toFiles(ts, args[len(args)-1], line)
	if got := strconv.Itoa(status); got != args[0] && (args[0] != "fail" || status <= 0) {
		ts.Fatalf("%s: exit status %d, want %s", strings.Join(line, " "), status, args[0])
	}
}

// toFiles runs a program whose output is files, for the container may have
// them longer than the program runs. It returns the program's exit status.
func toFiles(ts *script, name string, line []string) int {
	base := ts.MkAbs(strings.ReplaceAll("oci "+name, "/", "_"))
	err := ts.Exec("sh", append([]string{"-c", `exec "$@" >"$0.out" 2>"$0.err"`, base}, line...)...)
	stdout, stderr := ts.ReadFile(base+".out"), ts.ReadFile(base+".err")
	fmt.Fprint(ts.Stdout(), stdout)
	fmt.Fprint(ts.Stderr(), stderr)
	if text := strings.TrimSpace(stdout + stderr); text != "" {
		ts.Logf("%s", text)
	}
	return exitStatus(err)
}

func cmdBecomes(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "becomes ID STATUS")
	line := runnerOf(ts).runtime(ts, "state", args[0])
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		text, err := exec.Command("/usr/bin/env", append([]string{"-C", ts.MkAbs("."), "PATH=" + ts.Getenv("PATH")}, line...)...).Output()
		var state struct{ Status string }
		if err == nil && json.Unmarshal(text, &state) == nil && state.Status == args[1] {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("%s does not become %s: %v\n%s", args[0], args[1], err, text)
		}
	}
}

func cmdSilent(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 0, "silent")
	if text := ts.ReadFile("stdout") + ts.ReadFile("stderr"); text != "" {
		ts.Fatalf("output where there must be none: %q", text)
	}
}

// cmdJSON compares one value. PATH is as in `config`, "." is the whole; the
// value is compared as JSON, or as its text when it is a string.
func cmdJSON(ts *script, neg bool, args []string) {
	usage(ts, len(args) != 2, "json PATH EXPRESSION")
	var value any
	text := ts.ReadFile("stdout")
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		ts.Fatalf("not one JSON value: %v\n%s", err, text)
	}
	for _, step := range steps(strings.Trim(args[0], ".")) {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			if i, err := strconv.Atoi(step); err == nil && i < len(v) {
				value = v[i]
			} else {
				value = nil
			}
		default:
			value = nil
		}
	}
	match(ts, neg, "^("+args[1]+")$", jsonText(value))
}

func jsonText(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// cmdLog checks a log file as callers read it: so many objects, and the last
// one's message. Podman wants exactly one, containerd the last of them.
func cmdLog(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 3, "log FILE COUNT EXPRESSION")
	var last struct{ Level, Msg, Time string }
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
	if strconv.Itoa(len(lines)) != args[1] {
		ts.Fatalf("%s has %d lines, want %s:\n%s", args[0], len(lines), args[1], strings.Join(lines, "\n"))
	}
	ts.Check(json.Unmarshal([]byte(lines[len(lines)-1]), &last))
	if _, err := time.Parse(time.RFC3339, last.Time); err != nil || last.Level != "error" {
		ts.Fatalf("level %q, time %q: %v", last.Level, last.Time, err)
	}
	match(ts, false, args[2], last.Msg)
}

// cmdAlive looks at a process by its pid file, which holds digits only.
func cmdAlive(ts *script, neg bool, args []string) {
	usage(ts, len(args) != 1, "alive PIDFILE")
	text := ts.ReadFile(args[0])
	pid, err := strconv.Atoi(text)
	if err != nil || pid < 2 {
		ts.Fatalf("%s holds %q", args[0], text)
	}
	for limit := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if running(pid) != neg {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("process %d: running is %v", pid, neg)
		}
	}
}

// running reports whether a process exists and is no zombie.
func running(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), " ")
	return rest[0] != 'Z' && rest[0] != 'X'
}
