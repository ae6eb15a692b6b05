package process

import (
	"strings"

	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// defaultPath is searched when the environment has no PATH, as execvp(3) does.
const defaultPath = "/bin:/usr/bin"

// Environment is config.json's environment with the later of two entries of
// one name winning, and HOME added when it is missing or empty.
func Environment(env []string, home string) []string {
	last := make(map[string]int, len(env))
	for i, e := range env {
		name, _, _ := strings.Cut(e, "=")
		last[name] = i
	}
	list := make([]string, 0, len(env)+1)
	for i, e := range env {
		name, value, _ := strings.Cut(e, "=")
		if last[name] == i && (name != "HOME" || value != "") {
			list = append(list, e)
		}
	}
	if i, ok := last["HOME"]; ok && env[i] != "HOME=" {
		return list
	}
	if home == "" {
		home = "/"
	}
	return append(list, "HOME="+home)
}

// HasHome reports whether an environment sets HOME to something.
func HasHome(env []string) bool {
	home := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "HOME="); ok {
			home = v
		}
	}
	return home != ""
}

// Candidates lists the files that args[0] may be, as execvp(3) looks for them.
// An empty name is in no directory: it is not the directory itself.
func Candidates(name string, env []string) []string {
	if name == "" || strings.Contains(name, "/") {
		return []string{name}
	}
	path := defaultPath
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	var list []string
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			dir = "."
		}
		list = append(list, strings.TrimSuffix(dir, "/")+"/"+name)
	}
	return list
}

// Exec writes the search for the program and the execve. The happy way is one
// execve for each candidate up to the one that is there. The way after it only
// finds out what to say: the first candidate that exists is executed again for
// its own error, and when none exists the access to the last one says ENOENT.
func Exec(b *plan.Builder, p *specs.Process, env []string) {
	b.At("process.args", "exec "+name(p)).For(plan.ForProgram, name(p))
	isDirectory := int32(-1) // no call succeeds with -1: a directory is an error
	candidates := Candidates(name(p), env)
	op := func(path string) plan.Execve { return plan.Execve{Path: path, Args: p.Args, Env: env} }
	for _, c := range candidates {
		b.Try(op(c), plan.Ignore(unix.ENOENT, unix.ENOTDIR, unix.EACCES)...)
	}
	for i, c := range candidates {
		next := b.Label()
		access := plan.Step{Op: plan.Faccessat{DirFD: plan.AtCWD(), Path: c}}
		if i < len(candidates)-1 {
			access.Tolerate = []plan.Errno{{Errno: unix.ENOENT, To: next}, {Errno: unix.ENOTDIR, To: next}, {Errno: unix.EACCES, To: next}}
		}
		b.Add(access)
		b.Add(plan.Step{Op: plan.Faccessat{DirFD: plan.AtCWD(), Path: c + "/."}, Want: &isDirectory,
			Tolerate: plan.Ignore(unix.ENOTDIR, unix.EACCES)})
		b.Do(op(c))
		b.Place(next)
	}
}

// Look finds out before init waits for start whether there is a program at all:
// callers learn of a missing one only from create. It runs as the container's
// root; where another user will execute the file, permission is left for then.
func Look(b *plan.Builder, p *specs.Process) {
	if len(p.Args) == 0 {
		return // a container that can be created, and not started
	}
	b.At("process.args", "exec "+name(p)).For(plan.ForProgram, name(p))
	found := b.Label()
	never := int32(-1)
	candidates := Candidates(name(p), p.Env)
	for _, c := range candidates {
		next := b.Label()
		denied := next
		if p.User.UID != 0 {
			denied = found
		}
		b.Try(plan.Faccessat{DirFD: plan.AtCWD(), Path: c, Mode: unix.X_OK}, plan.Errno{Errno: unix.ENOENT, To: next},
			plan.Errno{Errno: unix.ENOTDIR, To: next}, plan.Errno{Errno: unix.EACCES, To: denied})
		b.Add(plan.Step{Op: plan.Faccessat{DirFD: plan.AtCWD(), Path: c + "/."}, Want: &never,
			Tolerate: []plan.Errno{{Errno: unix.ENOTDIR, To: found}, {Errno: unix.EACCES, To: found}}})
		b.Place(next)
	}
	for i, c := range candidates {
		next := b.Label()
		access := plan.Step{Op: plan.Faccessat{DirFD: plan.AtCWD(), Path: c}}
		if i < len(candidates)-1 {
			access.Tolerate = []plan.Errno{{Errno: unix.ENOENT, To: next}, {Errno: unix.ENOTDIR, To: next}, {Errno: unix.EACCES, To: next}}
		}
		b.Add(access)
		b.Do(plan.Faccessat{DirFD: plan.AtCWD(), Path: c, Mode: unix.X_OK})
		b.Place(next)
	}
	b.Place(found)
}

func name(p *specs.Process) string {
	if len(p.Args) == 0 {
		return ""
	}
	return p.Args[0]
}
