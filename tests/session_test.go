package tests

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/tests/again"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// session is one script in one world. It is JSON on its way into the process
// that runs it.
type session struct {
	Dir, Script    string
	World, Runtime string
	Mounts, Groups []string
	Base           string
	Homerun        string
	Rootfs         string
}

// runSession is main in a session's process.
func runSession(text string) int {
	os.Unsetenv(sessionVariable)
	s := &session{}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		fmt.Println("read the session:", err)
		return 1
	}
	if err := again.KeepDescriptors(); err != nil { // which podman leaves open
		fmt.Println(err)
		return 1
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Println("become a subreaper:", err)
		return 1
	}
	if err := s.ownDirectories(); err != nil {
		fmt.Println(err)
		return 1
	}
	before := s.snapshot()
	log := &scriptLog{}
	s.play(log)
	for _, left := range endChildren(3 * time.Second) {
		log.fail("left running: " + left)
	}
	for _, change := range differences(before, s.snapshot()) {
		log.fail("left behind: " + change)
	}
	os.Stdout.WriteString(log.text.String())
	if log.failed {
		return 1
	}
	return 0
}

// ownDirectories gives the session a state root, and a runtime directory that
// no other session uses: podman's, which made the world, stays as it is.
func (s *session) ownDirectories() error {
	if err := os.Mkdir(filepath.Join(s.Dir, "state"), 0o700); err != nil || s.World == "root" {
		return err
	}
	dir := filepath.Join(s.Dir, "run")
	os.Setenv("XDG_RUNTIME_DIR", dir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return os.Mkdir(filepath.Join(dir, "homerun"), 0o700)
}

// play runs the script.
func (s *session) play(log *scriptLog) {
	log.Run("", func(t testscript.T) {
		testscript.RunT(t, testscript.Params{Files: []string{s.Script}, WorkdirRoot: s.Dir, Setup: s.setup, Cmds: s.commands(),
			Condition: s.condition, RequireUniqueNames: true, Deadline: time.Now().Add(deadline)})
	})
}

// setup makes the script's environment.
func (s *session) setup(e *testscript.Env) error {
	e.Values[runnerKey{}] = &runner{session: s, background: make(map[string]*process)}
	e.Vars = slices.DeleteFunc(e.Vars, func(v string) bool { return strings.HasPrefix(v, "TMPDIR=") })
	if err := os.Remove(filepath.Join(e.WorkDir, ".tmp")); err != nil { // a bundle has none
		return err
	}
	set := map[string]string{
		"PATH": filepath.Dir(s.Homerun) + ":" + os.Getenv("PATH"), "TERM": "xterm", "LANG": "C.UTF-8",
		"RUNTIME": s.Runtime, "FLAGS": s.flags(), "CAPTURE": filepath.Join(s.Base, "podman.json"), "STATE": filepath.Join(s.Dir, "state"), "WORLD": s.World,
		"UID": fmt.Sprint(os.Getuid()), "GID": fmt.Sprint(os.Getgid()),
	}
	for _, name := range []string{"HOME", "USER", "XDG_RUNTIME_DIR"} {
		if value := os.Getenv(name); value != "" {
			set[name] = value
		}
	}
	for name, value := range set {
		e.Setenv(name, value)
	}
	return nil
}

// condition answers [root], [user] and the like.
func (s *session) condition(name string) (bool, error) {
	switch name {
	case "root", "user", "nested", "podman":
		return s.World == name, nil
	case "userns":
		return s.World == "nested" || s.World == "podman", nil
	case "homerun", "crun", "runc":
		return s.Runtime == name, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// snapshot lists what a container must not leave: mounts, and files where
// runtimes keep state.
func (s *session) snapshot() []string {
	all := slices.DeleteFunc(lines("/proc/self/mountinfo"), s.isOthers)
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), filepath.Join(s.Dir, "state")} {
		if dir == "" {
			continue
		}
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.Name() == "homerun-seccomp" { // compiled filters, which are kept
				return fs.SkipDir
			}
			if err == nil && d.Name() != ".empty-directory" { // crun's, which stays
				all = append(all, path)
			}
			return nil
		})
	}
	return all
}

// isOthers reports whether a line of mountinfo is a mount of another package's
// tests, which run at the same time: below a directory of theirs in the temporary
// directory.
func (s *session) isOthers(line string) bool {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return false
	}
	return strings.HasPrefix(fields[4], filepath.Join(os.TempDir(), "homerun-")) && !strings.HasPrefix(fields[4]+"/", s.Base+"/")
}

// differences lists what appeared.
func differences(before, after []string) []string {
	var list []string
	for _, line := range after {
		if !slices.Contains(before, line) {
			list = append(list, line)
		}
	}
	sort.Strings(list)
	return list
}

// child is a process that came to this subreaper.
type child struct {
	pid  int
	text string
}

// endChildren kills and reaps all children, and lists those that were still
// running after the time given.
func endChildren(grace time.Duration) []string {
	limit := time.Now().Add(grace)
	for {
		list := children()
		if len(list) == 0 {
			return nil
		}
		if time.Now().After(limit) {
			return kill(list)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// kill ends children, and what comes to us by their end.
func kill(list []child) []string {
	var texts []string
	for ; len(list) > 0; list = children() {
		for _, c := range list {
			texts = append(texts, c.text)
			unix.Kill(c.pid, unix.SIGKILL)
			unix.Wait4(c.pid, nil, 0, nil)
		}
	}
	return texts
}

// children reaps those that have ended and lists the others.
func children() []child {
	var list []child
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, e := range entries {
		text, err := os.ReadFile(e)
		if err != nil {
			continue
		}
		var pid, parent int
		var state string
		fmt.Sscan(string(text), &pid)
		_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), " ")
		fmt.Sscan(rest, &state, &parent)
		if parent != os.Getpid() {
			continue
		}
		if state == "Z" {
			unix.Wait4(pid, nil, unix.WNOHANG, nil)
			continue
		}
		name, _ := os.ReadFile(filepath.Join(filepath.Dir(e), "cmdline"))
		list = append(list, child{pid, fmt.Sprintf("%d %s %s", pid, state, strings.ReplaceAll(string(name), "\x00", " "))})
	}
	return list
}
