package tests

import (
	"context"
	"encoding/json"
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
	line := ts.runner.runtime(ts, args[1], args[2:]...)
	status := ts.toFiles(args[len(args)-1], line)
	if got := strconv.Itoa(status); got != args[0] && (args[0] != "fail" || status <= 0) {
		ts.Fatalf("%s: exit status %d, want %s", strings.Join(line, " "), status, args[0])
	}
}

// toFiles runs a program whose output is files, for the container may have
// them longer than the program runs.
func (ts *script) toFiles(name string, line []string) int {
	base := ts.MkAbs(strings.ReplaceAll("oci "+name, "/", "_"))
	stdout, err := os.Create(base + ".out")
	ts.Check(err)
	defer stdout.Close()
	stderr, err := os.Create(base + ".err")
	ts.Check(err)
	defer stderr.Close()
	ctx, cancel := context.WithTimeout(ts.ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/env", line...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = ts.dir, ts.environ(), stdout, stderr
	if ts.stdin != "" {
		cmd.Stdin = strings.NewReader(ts.stdin)
	}
	err = cmd.Run()
	ts.stdin, ts.stdout, ts.stderr = "", ts.ReadFile(base+".out"), ts.ReadFile(base+".err")
	if text := strings.TrimSpace(ts.stdout + ts.stderr); text != "" {
		ts.log.Log(text)
	}
	if ctx.Err() != nil {
		ts.Fatalf("%s: %v", strings.Join(line, " "), ctx.Err())
	}
	return exitStatus(err)
}

func cmdBecomes(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "becomes ID STATUS")
	line := ts.runner.runtime(ts, "state", args[0])
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		text, err := exec.CommandContext(ts.ctx, "/usr/bin/env", append([]string{"-C", ts.dir, "PATH=" + ts.Getenv("PATH")}, line...)...).Output()
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
	if ts.stdout+ts.stderr != "" {
		ts.Fatalf("output where there must be none: %q", ts.stdout+ts.stderr)
	}
}

// cmdJSON compares one value. PATH is as in `config`, "." is the whole; the
// value is compared as JSON, or as its text when it is a string.
func cmdJSON(ts *script, neg bool, args []string) {
	usage(ts, len(args) != 2, "json PATH EXPRESSION")
	var value any
	if err := json.Unmarshal([]byte(ts.stdout), &value); err != nil {
		ts.Fatalf("not one JSON value: %v\n%s", err, ts.stdout)
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
	ts.match(neg, []string{"^(" + args[1] + ")$"}, jsonText(value))
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
	ts.match(false, []string{args[2]}, last.Msg)
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
