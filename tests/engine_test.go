package tests

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Theory of operation: the engine takes a strict subset of the language of
// github.com/rogpeppe/go-internal/testscript, under the same names, so that
// the scripts are testscript scripts. That package itself cannot be imported
// while go.mod has no requirement on golang.org/x/tools, from which it takes
// the archive format.
//
// A script is a txtar archive: its comment is the commands, one a line, with
// "# comments", 'quotes', $VARIABLES outside of them, "[condition]" and "!" in
// front. Its files are put into the work directory first.

// script is one script while it runs.
type script struct {
	ctx            context.Context
	work           string
	dir            string
	env            map[string]string
	stdin          string
	stdout, stderr string
	// own is what a command writes as its standard output.
	own      strings.Builder
	deferred []func()
	log      *scriptLog
	commands map[string]command
	runner   *runner
	// condition answers [name].
	condition func(name string) (bool, error)
}

// archive splits a txtar text into the commands and the files.
func archive(text string) (commands string, files map[string]string) {
	files = make(map[string]string)
	name := ""
	for _, line := range strings.SplitAfter(text, "\n") {
		if inner, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok && strings.HasSuffix(inner, " --") {
			name = strings.TrimSpace(strings.TrimSuffix(inner, " --"))
			files[name] = ""
			continue
		}
		if name == "" {
			commands += line
		} else {
			files[name] += line
		}
	}
	return commands, files
}

// run executes the commands. A failure ends the goroutine.
func (ts *script) run(text string) {
	defer func() {
		for _, f := range slices.Backward(ts.deferred) {
			f()
		}
	}()
	commands, files := archive(text)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(name)), 0o755))
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(files[name]), 0o644))
	}
	for i, line := range strings.Split(commands, "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			start := time.Now()
			ts.log.Log(fmt.Sprintf("%d > %s", i+1, line))
			ts.line(line)
			if took := time.Since(start); took > time.Second {
				ts.log.Log(fmt.Sprintf("(%.1f s)", took.Seconds()))
			}
		}
	}
}

// line executes one command.
func (ts *script) line(line string) {
	words := ts.words(line)
	for len(words) > 0 && strings.HasPrefix(words[0], "[") && strings.HasSuffix(words[0], "]") {
		name, negated := strings.CutPrefix(strings.Trim(words[0], "[]"), "!")
		is, err := ts.condition(name)
		ts.Check(err)
		if is == negated {
			return
		}
		words = words[1:]
	}
	neg := len(words) > 0 && words[0] == "!"
	if neg {
		words = words[1:]
	}
	if len(words) == 0 {
		ts.Fatalf("no command")
	}
	run, ok := ts.commands[words[0]]
	if !ok {
		ts.Fatalf("unknown command %q", words[0])
	}
	ts.own.Reset()
	run(ts, neg, words[1:])
	if ts.own.Len() > 0 {
		ts.stdout = ts.own.String()
	}
}

// words splits a line. Two quotes inside a quoted word are one.
func (ts *script) words(line string) []string {
	var words []string
	var word strings.Builder
	quoted, inWord, plain := false, false, ""
	flush := func() { word.WriteString(os.Expand(plain, ts.Getenv)); plain = "" }
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'' && quoted && i+1 < len(line) && line[i+1] == '\'':
			word.WriteByte('\'')
			i++
		case c == '\'':
			flush()
			quoted, inWord = !quoted, true
		case quoted:
			word.WriteByte(c)
		case c == ' ' || c == '\t':
			flush()
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		case c == '#' && !inWord:
			return words
		default:
			plain += string(c)
			inWord = true
		}
	}
	if quoted {
		ts.Fatalf("unterminated quote")
	}
	flush()
	if inWord {
		words = append(words, word.String())
	}
	return words
}

// Getenv gives a variable of the script.
func (ts *script) Getenv(name string) string {
	if name == "/" {
		return "/"
	}
	return ts.env[name]
}

// MkAbs makes a path absolute: relative ones count from the script's
// directory.
func (ts *script) MkAbs(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(ts.dir, name)
}

// ReadFile reads a file, or "stdout" or "stderr" of the last program.
func (ts *script) ReadFile(name string) string {
	switch name {
	case "stdout":
		return ts.stdout
	case "stderr":
		return ts.stderr
	}
	text, err := os.ReadFile(ts.MkAbs(name))
	ts.Check(err)
	return string(text)
}

// Fatalf ends the script.
func (ts *script) Fatalf(format string, args ...any) {
	ts.log.Fatal("FAIL: " + fmt.Sprintf(format, args...))
}

// Check ends the script if there is an error.
func (ts *script) Check(err error) {
	if err != nil {
		ts.Fatalf("%v", err)
	}
}

// Defer runs a function when the script has ended.
func (ts *script) Defer(f func()) { ts.deferred = append(ts.deferred, f) }

// environ is the environment for programs.
func (ts *script) environ() []string {
	list := []string{"PWD=" + ts.dir}
	for _, name := range slices.Sorted(maps.Keys(ts.env)) {
		list = append(list, name+"="+ts.env[name])
	}
	return list
}

// Exec runs a program to its end, or to the script's deadline.
func (ts *script) Exec(name string, args ...string) error {
	cmd := exec.CommandContext(ts.ctx, "/usr/bin/env", append([]string{name}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stdin = ts.dir, ts.environ(), strings.NewReader(ts.stdin)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, 2*time.Second
	err := cmd.Run()
	ts.stdin, ts.stdout, ts.stderr = "", stdout.String(), stderr.String()
	for _, part := range []string{ts.stdout, ts.stderr} {
		if part != "" {
			ts.log.Log(strings.TrimSuffix(part, "\n"))
		}
	}
	if ts.ctx.Err() != nil {
		ts.Fatalf("%s: %v", name, ts.ctx.Err())
	}
	return err
}

// scriptLog is what a session shows.
type scriptLog struct {
	text   strings.Builder
	failed bool
}

// Fatal logs and ends the script.
func (l *scriptLog) Fatal(text string) {
	l.fail(text)
	runtime.Goexit()
}

// Log adds a line.
func (l *scriptLog) Log(text string) { fmt.Fprintln(&l.text, text) }

func (l *scriptLog) fail(text string) {
	l.failed = true
	l.Log(text)
}

// expression compiles the regular expression of stdout, stderr and grep.
func (ts *script) expression(text string) *regexp.Regexp {
	e, err := regexp.Compile("(?m)" + text)
	ts.Check(err)
	return e
}
