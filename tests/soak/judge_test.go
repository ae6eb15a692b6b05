package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestJudge: what is seen after an operation is held to what may be, by what it said and by what disturbed it.
func TestJudge(t *testing.T) {
	for _, test := range []struct {
		operation, before string
		status            int // that it ended with
		now               string
		fault, weak, hurt bool
		broken            bool
	}{
		{operation: "create", before: absent, now: created},
		{operation: "create", before: absent, now: absent, broken: true},
		{operation: "create", before: absent, status: 1, now: created, broken: true},
		{operation: "create", before: running, status: 1, now: running},
		{operation: "create", before: running, now: running, broken: true},
		{operation: "create", before: absent, status: 1, now: absent, fault: true},
		{operation: "create", before: absent, status: -1, now: creating, fault: true},
		{operation: "create", before: absent, status: -1, now: running, fault: true, broken: true},
		{operation: "create", before: absent, now: absent, fault: true, broken: true},
		{operation: "create", before: absent, now: stopped, fault: true, broken: true},
		{operation: "create", before: absent, now: stopped, fault: true, weak: true},
		{operation: "start", before: created, now: created, fault: true, broken: true},
		{operation: "start", before: created, status: 1, now: running, fault: true},
		{operation: "run", before: absent, status: 9, now: absent},
		{operation: "run", before: absent, status: 9, now: stopped, broken: true},
		{operation: "run", before: absent, status: 9, now: stopped, fault: true},
		{operation: "kill TERM", before: running, now: running, broken: true},
		{operation: "kill TERM", before: running, now: running, fault: true},
		{operation: "kill KILL", before: running, now: running, fault: true, broken: true},
		{operation: "delete", before: stopped, now: stopped, fault: true, broken: true},
		{operation: "delete", before: stopped, status: 1, now: stopped, fault: true},
		{operation: "delete", before: stopped, now: stopped, hurt: true, broken: true},
		{operation: "delete --force", before: running, status: 1, now: running, hurt: true, broken: true},
		{operation: "delete --force", before: running, status: 1, now: running, fault: true},
		{operation: "ps", before: running, now: stopped, broken: true},
		{operation: "ps", before: running, now: stopped, hurt: true},
		{operation: "ps", before: running, now: paused, hurt: true, broken: true},
		{operation: "list", before: running, now: absent, fault: true, broken: true},
	} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			p := &place{dir: t.TempDir(), scopes: true, own: map[int]bool{}}
			answer := fmt.Sprintf("echo '{\"status\": %q, \"pid\": 7}'", test.now)
			if test.now == absent {
				answer = "echo it does not exist >&2; exit 1"
			}
			must(t, os.MkdirAll(filepath.Join(p.dir, "out"), 0o700))
			must(t, os.MkdirAll(filepath.Join(p.dir, "bin"), 0o700))
			must(t, os.WriteFile(filepath.Join(p.dir, "bin/homerun"), []byte("#!/bin/sh\n"+answer+"\n"), 0o700))
			broken := 0
			d := &day{t: t, place: p, patience: 20 * time.Millisecond, complain: func(...any) { broken++ }}
			s := &slot{id: "a", status: test.before, code: -1, weak: test.weak}
			s.hurt.Store(test.hurt)
			must(t, os.MkdirAll(p.shared(s.id), 0o700))
			must(t, os.WriteFile(p.ups(s.id), nil, 0o600))
			j := &judgement{d: d, s: s, o: operationOf(test.operation), result: done{status: test.status, out: "said "}, name: test.operation,
				calm: func() bool { return !test.fault && !test.weak && !test.hurt }, undone: !test.fault}
			if j.judge(); (broken > 0) != test.broken {
				t.Errorf("broken %d times: %q", broken, d.log)
			}
		})
	}
}

func operationOf(name string) *operation {
	for _, o := range operations() {
		if o.name == name {
			return o
		}
	}
	panic(name)
}
