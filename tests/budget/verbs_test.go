package budget

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// rounds is how often each verb is counted.
const rounds = 5

// took is what one call of a verb took, by unit.
type took map[string]int

// round goes through a container's life once; each verb's share goes to note.
func (p *place) round(id string, measure func(words ...string) func() took, note func(verb string, t took)) {
	p.t.Helper()
	sleep, pidFile := filepath.Join(p.dir, "sleep"), filepath.Join(p.dir, "run", id)
	note("run", measure("run", "-b", filepath.Join(p.dir, "true"), id+"-true")())
	create := measure("create", "-b", sleep, "--pid-file", pidFile, id)
	p.await("init", func() bool { text, err := os.ReadFile(pidFile); return err == nil && len(text) > 0 })
	note("start", measure("start", id)())
	note("state", measure("state", id)())
	note("exec", measure("exec", id, "true")())
	note("kill", measure("kill", id, "KILL")())
	note("create", create()) // under strace, which only now has nobody left to follow
	p.awaitEnd(pidFile)
	note("delete", measure("delete", id)())
}

// awaitEnd waits until init is gone, or a zombie that nobody has collected yet.
func (p *place) awaitEnd(pidFile string) {
	p.t.Helper()
	text, err := os.ReadFile(pidFile)
	p.must(err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	p.must(err)
	p.await("the end of init", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// least keeps the least of each unit.
func (p *place) least(measure func(words ...string) func() took) map[string]took {
	p.t.Helper()
	all := map[string]took{}
	for i := range 1 + rounds {
		p.round("c"+strconv.Itoa(i), measure, func(verb string, one took) {
			if i == 0 { // which makes directories
				return
			}
			if all[verb] == nil {
				all[verb] = one
			}
			for unit, n := range one {
				all[verb][unit] = min(all[verb][unit], n)
			}
		})
	}
	return all
}

// traced counts what strace sees.
func (p *place) traced(words ...string) func() took {
	p.t.Helper()
	strace, err := exec.LookPath("strace")
	p.must(err)
	out := filepath.Join(p.dir, "run", "strace."+words[0])
	end := p.start(append([]string{strace, "-f", "-xx", "-s", "65536", "-o", out}, p.verb(words...)...)...)
	return func() took {
		p.t.Helper()
		end()
		text, err := os.ReadFile(out)
		p.must(err)
		return count(string(text))
	}
}

// untraced counts page faults, of which strace makes some of its own.
func (p *place) untraced(words ...string) func() took {
	p.t.Helper()
	faults := p.start(p.verb(words...)...)()
	return func() took { return took{"faults": faults} }
}

func TestVerbs(t *testing.T) {
	p := newPlace(t, "disabled")
	if os.Getenv("HOMERUN_TEST_MACHINE") == "1" {
		t.Skip("the numbers are those of an ordinary kernel")
	}
	hold(t, "", p.least(p.traced))
	if os.Getpagesize() == 4096 {
		hold(t, "", p.least(p.untraced))
	}
}

func TestVerbsWithAScope(t *testing.T) {
	var st unix.Statfs_t
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" || os.Getuid() == 0 || syscall.Access(os.Getenv("XDG_RUNTIME_DIR")+"/bus", 4) != nil ||
		unix.Statfs("/sys/fs/cgroup", &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		t.Skip("needs an ordinary user's service manager, in the test machine, and cgroup v2")
	}
	p := newPlace(t, "systemd")
	hold(t, "scope-", p.least(p.traced))
}

func hold(t *testing.T, prefix string, all map[string]took) {
	t.Helper()
	for verb, one := range all {
		for unit, n := range one {
			if unit == "messages" && prefix == "" {
				if n != 0 {
					t.Errorf("%s: %d messages without a scope", verb, n)
				}
				continue
			}
			Hold(t, prefix+verb, unit, n)
		}
	}
}
