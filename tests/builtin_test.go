package tests

import (
	"os"
	"strings"
)

// builtins are the commands that testscript has too.
func builtins() map[string]command {
	return map[string]command{
		"exec": cmdExec, "stdout": cmdStdout, "stderr": cmdStderr, "grep": cmdGrep, "cmp": cmdCompare,
		"cp": cmdCopy, "mkdir": cmdMkdir, "rm": cmdRemove, "symlink": cmdSymlink, "exists": cmdExists,
		"cd": cmdCd, "env": cmdEnv, "stdin": cmdStdin, "chmod": cmdChmod,
	}
}

func cmdExec(ts *script, neg bool, args []string) {
	usage(ts, len(args) == 0, "exec PROGRAM [ARG...]")
	err := ts.Exec(args[0], args[1:]...)
	if status := exitStatus(err); status < 0 || neg == (status == 0) {
		ts.Fatalf("exec %s: exit status %d: %v", args[0], status, err)
	}
}

func cmdStdout(ts *script, neg bool, args []string) { ts.match(neg, args, ts.stdout) }

func cmdStderr(ts *script, neg bool, args []string) { ts.match(neg, args, ts.stderr) }

func cmdGrep(ts *script, neg bool, args []string) {
	usage(ts, len(args) != 2, "grep EXPRESSION FILE")
	ts.match(neg, args[:1], ts.ReadFile(args[1]))
}

func (ts *script) match(neg bool, args []string, text string) {
	usage(ts, len(args) != 1, "[stdout|stderr] EXPRESSION")
	if ts.expression(args[0]).MatchString(text) == neg {
		ts.Fatalf("match for %q: %v, in\n%s", args[0], neg, text)
	}
}

func cmdCompare(ts *script, neg bool, args []string) {
	usage(ts, len(args) != 2, "cmp FILE FILE")
	if a, b := ts.ReadFile(args[0]), ts.ReadFile(args[1]); (a == b) == neg {
		ts.Fatalf("cmp: %s is\n%s%s is\n%s", args[0], a, args[1], b)
	}
}

func cmdCopy(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "cp FILE FILE")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(ts.ReadFile(args[0])), 0o644))
}

func cmdMkdir(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) == 0, "mkdir DIR...")
	for _, a := range args {
		ts.Check(os.MkdirAll(ts.MkAbs(a), 0o755))
	}
}

func cmdRemove(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) == 0, "rm FILE...")
	for _, a := range args {
		ts.Check(os.RemoveAll(ts.MkAbs(a)))
	}
}

func cmdSymlink(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 3 || args[1] != "->", "symlink FILE -> TARGET")
	ts.Check(os.Symlink(args[2], ts.MkAbs(args[0])))
}

func cmdExists(ts *script, neg bool, args []string) {
	usage(ts, len(args) == 0, "exists FILE...")
	for _, a := range args {
		if _, err := os.Lstat(ts.MkAbs(a)); (err == nil) == neg {
			ts.Fatalf("exists %s: %v", a, err)
		}
	}
}

func cmdCd(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "cd DIR")
	ts.dir = ts.MkAbs(args[0])
	_, err := os.Stat(ts.dir)
	ts.Check(err)
}

func cmdEnv(ts *script, neg bool, args []string) {
	usage(ts, neg, "env NAME=VALUE...")
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		usage(ts, !ok, "env NAME=VALUE...")
		ts.env[name] = value
	}
}

func cmdStdin(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "stdin FILE")
	ts.stdin = ts.ReadFile(args[0])
}

func cmdChmod(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "chmod MODE FILE")
	var mode os.FileMode
	for _, c := range args[0] {
		mode = mode<<3 | os.FileMode(c-'0')
	}
	ts.Check(os.Chmod(ts.MkAbs(args[1]), mode))
}
