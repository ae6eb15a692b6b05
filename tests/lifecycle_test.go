package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestInitMemory holds a created container to its budget: under 100 KB of
// memory that is nobody else's while it waits for start.
func TestInitMemory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to look into the user's container")
	}
	for _, w := range worlds(t) {
		t.Run(w.name, func(t *testing.T) {
			w.must(t, "create", "-b", w.bundle(t, "small", "true"), "small")
			defer w.must(t, "delete", "--force", "small")
			private, total := privateMemory(t, w.init(t, "small"))
			t.Logf("private %d KB, resident %d KB", private, total)
			if total == 0 || private >= 100 {
				t.Errorf("init holds %d KB of private memory (%d KB resident), want less than 100", private, total)
			}
		})
	}
}

// privateMemory sums up smaps_rollup, in KB: proc(5).
func privateMemory(t *testing.T, pid int) (private, resident int) {
	t.Helper()
	for _, line := range lines(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup")) {
		var n int
		name, rest, _ := strings.Cut(line, ":")
		if _, err := fmt.Sscan(rest, &n); err != nil {
			continue
		}
		switch name {
		case "Rss":
			resident = n
		case "Private_Clean", "Private_Dirty", "Private_Hugetlb":
			private += n
		}
	}
	return private, resident
}

// TestManyContainers makes many containers at once, in one state root: each is
// created, started, listed, entered and deleted, while the others are.
func TestManyContainers(t *testing.T) {
	manyContainers(t, 200)
}

// TestManyScopes is the same where each has a scope of systemd's.
func TestManyScopes(t *testing.T) {
	if !hasScopes() {
		t.Skip("needs cgroup v2 and the caller's systemd")
	}
	before := scopes("*many*")
	count := 40
	if *full {
		count = 200
	}
	manyContainers(t, count)
	if after := scopes("*many*"); len(before)+len(after) > 0 {
		t.Errorf("units before: %q, after: %q", before, after)
	}
}

func manyContainers(t *testing.T, count int) {
	const parallel = 24
	if testing.Short() {
		count = 20
	}
	for _, w := range worlds(t) {
		t.Run(w.name, func(t *testing.T) {
			bundle := w.bundle(t, "many", "while :; do sleep 1; done")
			start := time.Now()
			tokens, failures := make(chan bool, parallel), make(chan string, 6*count)
			var group sync.WaitGroup
			for i := range count {
				group.Go(func() {
					tokens <- true
					defer func() { <-tokens }()
					w.oneOfMany(bundle, fmt.Sprintf("many%d", i), failures)
				})
			}
			group.Wait()
			close(failures)
			for f := range failures {
				t.Error(f)
			}
			t.Logf("%d containers, %d at a time, as %s: %.1f s", count, parallel, w.name, time.Since(start).Seconds())
			w.empty(t, w.dir)
			if text := w.must(t, "list", "-q"); text != "" {
				t.Errorf("list prints %q", text)
			}
		})
	}
}

// oneOfMany takes one container through its life.
func (w *world) oneOfMany(bundle, id string, failures chan<- string) {
	ok := func(want string, args ...string) {
		text, err := w.runQuiet(args...)
		if err != nil || text != want {
			failures <- fmt.Sprintf("homerun %s: %v: %q, want %q", strings.Join(args, " "), err, text, want)
		}
	}
	ok("", "create", "-b", bundle, id)
	ok("", "start", id)
	ok(id+" inside\n", "exec", id, "/bin/sh", "-c", "echo "+id+" inside")
	text, err := w.runQuiet("list", "-f", "json")
	var list []struct{ ID, Status string }
	if err == nil {
		err = json.Unmarshal([]byte(text), &list)
	}
	found := false
	for _, c := range list {
		found = found || c.ID == id && c.Status == "running"
	}
	if err != nil || !found {
		failures <- fmt.Sprintf("list: %v; %s is not running in %q", err, id, text)
	}
	ok("", "delete", "--force", id)
}
