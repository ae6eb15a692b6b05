package strace

import (
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	helper = regexp.MustCompile(`^execve\("[^"]*/new([ug])idmap", \["[^"]*", "(\d+)"`)
	where  = regexp.MustCompile(`^getcpu\(\[(\d+)\]`)
	moved  = regexp.MustCompile(`^sched_setaffinity\((\d+), \d+, \[([\d ]*)\]\)`)
)

// TestSideBySide: newuidmap begins on another CPU than the runtime's, newgidmap on the
// runtime's, and init goes on beside the runtime while that compiles. All are released. The
// kernel may refuse it for the helpers, which have capabilities once they are executed.
func TestSideBySide(t *testing.T) {
	b := newBox(t, true)
	b.global = []string{"--cgroup-manager", "disabled"}
	b.save()
	calls := b.trace("run", "--bundle", b.dir, b.id).calls()
	who := map[string]string{} // by id; init's is what newuidmap is given
	for _, c := range calls {
		if m := helper.FindStringSubmatch(c.text); m != nil {
			who[strconv.Itoa(c.pid)], who[m[2]] = "new"+m[1]+"idmap", "init"
		}
	}
	got, here := map[string][]string{}, ""
	for _, c := range calls {
		if m := where.FindStringSubmatch(c.text); m != nil {
			here = m[1]
		} else if m := moved.FindStringSubmatch(c.text); m != nil && who[m[1]] != "" {
			got[who[m[1]]] = append(got[who[m[1]]], placeOf(strings.Fields(m[2]), here))
			if c.value() != 0 && who[m[1]] == "init" && runtime.NumCPU() > 1 {
				t.Errorf("%s = %s", c.text, c.result)
			}
		}
	}
	anywhere := "anywhere"
	if runtime.NumCPU() == 1 {
		anywhere = "here"
	}
	want := map[string][]string{"init": {"aside", anywhere}}
	if runtime.NumCPU() == 2 {
		want["newuidmap"], want["newgidmap"] = []string{"aside", anywhere}, []string{"here", anywhere}
	}
	for _, name := range []string{"newuidmap", "newgidmap", "init"} {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: %q, want %q", name, got[name], want[name])
		}
	}
}

// placeOf names the CPUs of a list, for a runtime that runs on here.
func placeOf(cpus []string, here string) string {
	switch has := slices.Contains(cpus, here); {
	case has && len(cpus) == 1:
		return "here"
	case has && len(cpus) == runtime.NumCPU():
		return "anywhere"
	case !has && len(cpus) == runtime.NumCPU()-1:
		return "aside"
	}
	return strings.Join(cpus, " ")
}
