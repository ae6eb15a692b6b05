package growth

import (
	"fmt"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestMounts: the system calls of a run, the container's side and the runtime's, grow
// by a few with each entry of a list. Of these, three look where it belongs.
func TestMounts(t *testing.T) {
	for name, c := range map[string]struct {
		most int
		add  func(s *specs.Spec, p string)
	}{
		"bind": {11, func(s *specs.Spec, p string) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: p, Type: "bind", Source: "/usr", Options: []string{"bind", "ro"}})
		}},
		"tmpfs": {14, func(s *specs.Spec, p string) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: p, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid"}})
		}},
		"masked directory": {8, func(s *specs.Spec, p string) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, p) }},
		"read-only path":   {7, func(s *specs.Spec, p string) { s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, p) }},
		"variable":         {0, func(s *specs.Spec, p string) { s.Process.Env = append(s.Process.Env, "V"+p+"=value") }},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			calls := func(n int) int {
				bundle := p.bundle("bundle", func(s *specs.Spec) {
					for i := range n {
						at := fmt.Sprintf("/places/%d", i)
						p.must(os.MkdirAll(p.file("rootfs"+at), 0o755))
						c.add(s, at)
					}
				}, "/bin/true")
				lines := p.traced("run", "-b", bundle, fmt.Sprint("c", n))
				return len(lines) - count(lines, " resumed>") - count(lines, " --- ") // second halves, signals
			}
			few, many := calls(20), calls(220)
			// What else varies is less than a tenth of a call for each.
			if got := float64(many-few) / 200; got > float64(c.most)+0.1 {
				t.Errorf("%.2f system calls each, more than %d", got, c.most)
			}
		})
	}
}

// TestOthers: no verb but list looks at another container of the state root, or reads
// a list of processes or of the host's mounts: the one look at those is Go's, which
// wants to know its cgroup.
func TestOthers(t *testing.T) {
	p := newPlace(t)
	sleep, own, pidFile := p.bundle("sleep", nil, "/bin/sleep", "1000"), p.bundle("true", nil, "/bin/true"), p.file("pid")
	for _, id := range []string{"another-1", "another-2", "another-3"} {
		p.run("create", "-b", sleep, id)
		defer p.run("delete", "--force", id)
	}
	p.run("start", "another-1")
	p.run("kill", "another-2", "KILL")

	traces := map[string][]string{"run": p.traced("run", "-b", own, "own-run")}
	create := p.begin("create", "-b", sleep, "--pid-file", pidFile, "own")
	p.awaitFile(pidFile)
	traces["start"] = p.traced("start", "own")
	traces["state"] = p.traced("state", "own")
	traces["exec"] = p.traced("exec", "own", "/bin/true")
	traces["list"] = p.traced("list")
	traces["kill"] = p.traced("kill", "own", "KILL")
	traces["create"] = create() // only now strace has nobody left to follow
	traces["delete"] = p.traced("delete", "own")
	for verb, lines := range traces {
		others, lists := count(lines, "another-"), count(lines, "getdents")
		if verb == "list" {
			if others < 3 || lists == 0 {
				t.Errorf("list: %d calls name the other containers, %d read directories", others, lists)
			}
			if n := count(lines, " write(1,"); n != 1 {
				t.Errorf("list prints its table in %d pieces", n)
			}
			continue
		}
		if others > 0 || lists > 0 {
			t.Errorf("%s: %d calls name the other containers, %d read directories", verb, others, lists)
		}
		if n := count(lines, `mountinfo"`); n > 1 {
			t.Errorf("%s opens the list of mounts %d times", verb, n)
		}
	}
}

// TestList: the system calls of list grow by a few with each container, and by fewer
// when it has stopped. What is the same for all is read once.
func TestList(t *testing.T) {
	p := newPlace(t)
	p.must(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) // so that no zombies are left
	sleep, calls := p.bundle("sleep", nil, "/bin/sleep", "1000"), map[string][]int{}
	const few, more = 2, 10
	for i := range few + more {
		id, pidFile := fmt.Sprint("c", i), p.file(fmt.Sprint("pid", i))
		p.run("create", "-b", sleep, "--pid-file", pidFile, id)
		defer p.run("delete", "--force", id)
		p.run("start", id)
		if i == few-1 || i == few+more-1 {
			calls["running"] = append(calls["running"], p.listCalls())
		}
	}
	for i := range few + more {
		p.run("kill", fmt.Sprint("c", i), "KILL")
		p.awaitEnd(p.file(fmt.Sprint("pid", i)))
	}
	calls["stopped"] = append(calls["stopped"], 0, p.listCalls())
	for i := range more {
		p.run("delete", fmt.Sprint("c", i))
	}
	calls["stopped"][0] = p.listCalls()
	for status, most := range map[string]int{"running": 11, "stopped": 8} {
		if got := float64(calls[status][1]-calls[status][0]) / more; got > float64(most)+0.1 {
			t.Errorf("%.2f system calls for each container that is %s, more than %d", got, status, most)
		}
	}
}

// listCalls is how many system calls list makes: the fewest of some times, as threads that
// are made while others start something have to be looked for (spread, in cmd/homerun).
func (p *place) listCalls() int {
	p.t.Helper()
	fewest := len(p.traced("list"))
	for range 4 {
		fewest = min(fewest, len(p.traced("list")))
	}
	return fewest
}

// count is how many lines have a text.
func count(lines []string, text string) int {
	n := 0
	for _, line := range lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
