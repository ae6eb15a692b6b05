package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runner is the state of the commands of one script.
type runner struct {
	session    *session
	status     int
	ids        int
	background map[string]*process
	terminal   *terminal
}

// process is a command in the background.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan error
}

type command = func(ts *script, neg bool, args []string)

// commands are those that scripts have beside testscript's own:
//
//	rootfs [DIR]           make a root directory of busybox
//	bundle GENERATOR...    make rootfs and config.json, by a runtime's spec command; no terminal, /bin/true
//	config EDIT...         change config.json: see edit
//	args WORD...           set process.args
//	sh SCRIPT              set process.args to a shell script
//	run [ARG...]           run the bundle here, with ARG before the id; "! run" wants a failure
//	status N               the exit status of the last run
//	start NAME [ARG...]    run the bundle in the background, with id NAME
//	spawn NAME PROGRAM...  run any program in the background
//	read NAME FILE         set a variable to a file's text
//	await FILE             wait until a file is there and not empty
//	signal NAME SIGNAL     send a signal to the runtime process NAME
//	finish NAME STATUS     wait for NAME, which must exit so; its output is stdout
//	errors FILE            what the last run said: the first line on standard
//	                       error, the others as fields of its log entry
//	killed ...             see kill_test.go
//	tty ...                see terminal_test.go
func (s *session) commands() map[string]command {
	all := map[string]command{
		"rootfs": s.cmdRootfs, "bundle": s.cmdBundle, "config": cmdConfig, "args": cmdArgs, "sh": cmdShell,
		"run": cmdRun, "status": cmdStatus, "start": cmdStart, "spawn": cmdSpawn, "read": cmdRead,
		"await": cmdAwait, "signal": cmdSignal,
		"finish": cmdFinish, "tty": cmdTerminal, "errors": cmdErrors, "killed": cmdKilled, "outlives": cmdOutlives,
	}
	maps.Copy(all, lifecycleCommands())
	return all
}

// usage ends a script that calls a command wrongly.
func usage(ts *script, bad bool, text string) {
	if bad {
		ts.Fatalf("usage: %s", text)
	}
}

func (s *session) cmdRootfs(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) > 1, "rootfs [DIR]")
	dir := "rootfs"
	if len(args) == 1 {
		dir = args[0]
	}
	ts.Check(copyTree(s.Rootfs, ts.MkAbs(dir)))
}

func (s *session) cmdBundle(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) == 0, "bundle GENERATOR...")
	s.cmdRootfs(ts, false, nil)
	// runc makes a directory for its state even when it writes a spec.
	ts.Check(ts.Exec("env", append([]string{"-u", "XDG_RUNTIME_DIR"}, args...)...))
	edit(ts, "process.terminal=false")
	edit(ts, `process.args=["/bin/true"]`)
	if args[0] == "homerun" { // all ids that there are
		edit(ts, "-linux.uidMappings")
		edit(ts, "-linux.gidMappings")
	}
}

func cmdArgs(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) == 0, "args WORD...")
	edit(ts, "process.args=[]")
	for _, a := range args {
		edit(ts, "process.args+="+strconv.Quote(a))
	}
}

func cmdShell(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "sh SCRIPT")
	cmdArgs(ts, false, []string{"/bin/sh", "-c", args[0]})
}

// runtime is the command line of a verb up to its own arguments. State lies in
// the script's directory, and cgroups are left alone.
func (r *runner) runtime(ts *script, verb string, args ...string) []string {
	line := []string{r.session.Runtime, "--root", ts.Getenv("STATE")}
	line = append(line, strings.Fields(r.session.flags())...)
	if r.session.Runtime == "homerun" {
		line = append(line, "--log", logFile(ts), "--log-format", "json")
	}
	return append(append(line, verb), args...)
}

// flags are those that keep a runtime away from cgroups.
func (s *session) flags() string {
	switch s.Runtime {
	case "crun":
		return "--cgroup-manager=disabled"
	case "runc":
		return "--rootless=true"
	}
	return ""
}

// logFile is where homerun logs, as it does for engines.
func logFile(ts *script) string { return ts.Getenv("STATE") + ".log" }

func cmdRun(ts *script, neg bool, args []string) {
	r := runnerOf(ts)
	r.ids++
	line := r.runtime(ts, "run", append(args, "c"+strconv.Itoa(r.ids))...)
	err := ts.Exec(line[0], line[1:]...)
	r.status = exitStatus(err)
	switch {
	case r.status < 0:
		ts.Fatalf("run: %v", err)
	case neg && r.status == 0:
		ts.Fatalf("run: unexpected success")
	case !neg && r.status != 0:
		ts.Fatalf("run: %v", err)
	}
}

// exitStatus is -1 where there is none: the process was killed.
func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

func cmdStatus(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "status N")
	if got := strconv.Itoa(runnerOf(ts).status); got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

func cmdStart(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) == 0, "start NAME [ARG...]")
	r := runnerOf(ts)
	line := r.runtime(ts, "run", append(args[1:], args[0])...)
	r.background[args[0]] = r.spawn(ts, line, nil)
}

func cmdSpawn(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) < 2, "spawn NAME PROGRAM [ARG...]")
	runnerOf(ts).background[args[0]] = runnerOf(ts).spawn(ts, args[1:], nil)
}

func cmdRead(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "read NAME FILE")
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// environ is the environment of what is started beside the script.
func environ(ts *script) []string {
	return []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TERM=xterm", "XDG_RUNTIME_DIR=" + ts.Getenv("XDG_RUNTIME_DIR"),
		"GODEBUG=" + ts.Getenv("GODEBUG")}
}

// spawn starts a command that must not outlive the script.
func (r *runner) spawn(ts *script, line []string, prepare func(*exec.Cmd)) *process {
	p := &process{cmd: exec.Command("/usr/bin/env", line...), ended: make(chan error, 1)}
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = environ(ts)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.WaitDelay = 2 * time.Second
	if prepare != nil {
		prepare(p.cmd)
	}
	ts.Check(p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	ts.Defer(func() { p.cmd.Process.Kill() })
	return p
}

func cmdAwait(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "await FILE")
	name := ts.MkAbs(args[0])
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if info, err := os.Stat(name); err == nil && info.Size() > 0 {
			return
		}
		if time.Now().After(limit) {
			for id, p := range runnerOf(ts).background {
				ts.Logf("%s", id+": "+p.output.String())
			}
			ts.Fatalf("%s did not appear", name)
		}
	}
}

func cmdSignal(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "signal NAME SIGNAL")
	p, number := runnerOf(ts).background[args[0]], unix.SignalNum("SIG"+args[1])
	if p == nil || number == 0 {
		ts.Fatalf("no process %s or no signal %s", args[0], args[1])
	}
	ts.Check(p.cmd.Process.Signal(number))
}

func cmdFinish(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "finish NAME STATUS")
	p := runnerOf(ts).background[args[0]]
	if p == nil {
		ts.Fatalf("no process %s", args[0])
	}
	select {
	case err := <-p.ended:
		ts.Logf("%s", p.output.String())
		ts.Stdout().Write(p.output.Bytes())
		if got := strconv.Itoa(exitStatus(err)); got != args[1] {
			ts.Fatalf("%s: exit status %s, want %s (%v)", args[0], got, args[1], err)
		}
	case <-time.After(20 * time.Second):
		p.cmd.Process.Signal(syscall.SIGKILL)
		ts.Fatalf("%s does not end", args[0])
	}
}

// cmdErrors compares what the last command wrote to standard error with a
// file, where * stands for any text within a line. All that differ are shown.
func cmdErrors(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "errors FILE")
	text := ts.ReadFile("stderr")
	got := append(strings.Split(strings.TrimRight(text, "\n"), "\n"), logged(ts, text)...)
	want := strings.Split(strings.TrimRight(ts.ReadFile(args[0]), "\n"), "\n")
	differences := ""
	for i := range max(len(got), len(want)) {
		g, w := lineAt(got, i), lineAt(want, i)
		if ok, err := matches(w, g); err != nil || !ok {
			differences += fmt.Sprintf("line %d of standard error is\n%s\nwant\n%s\n", i+1, g, w)
		}
	}
	if differences != "" {
		ts.Fatalf("%s", differences)
	}
}

// logged reads the log's last entry: its message is the line on standard error,
// and the rest is given as a person's terminal shows it.
func logged(ts *script, stderr string) (lines []string) {
	var entry struct{ Level, Msg, Time, More, Step, Hint string }
	text := strings.Split(strings.TrimSpace(ts.ReadFile(logFile(ts))), "\n")
	ts.Check(json.Unmarshal([]byte(text[len(text)-1]), &entry))
	if entry.Level != "error" || "homerun: "+entry.Msg+"\n" != stderr {
		ts.Fatalf("the log's entry is %+v, and standard error %q", entry, stderr)
	}
	for _, field := range []string{entry.More, entry.Step} {
		if field != "" {
			lines = append(lines, strings.Split("    "+strings.ReplaceAll(field, "\n", "\n    "), "\n")...)
		}
	}
	if entry.Hint != "" {
		lines = append(lines, strings.Split("    hint: "+strings.ReplaceAll(entry.Hint, "\n", "\n          "), "\n")...)
	}
	return lines
}

func lineAt(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "(nothing)"
}

// matches compares a line with a pattern; * is any text.
func matches(pattern, line string) (bool, error) {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(line, parts[0])
	if !ok || len(parts) == 1 {
		return line == pattern, nil
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false, nil
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1]), nil
}

// configFile is where commands expect the config.
func configFile(ts *script) string {
	return filepath.Join(ts.MkAbs("."), "config.json")
}
