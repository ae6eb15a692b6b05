package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/store"
)

func TestTexts(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{statusText(&container.OCIState{Status: "running"}), "running"},
		{statusText(&container.OCIState{Status: "stopped", Exit: &store.Exit{}}), "stopped (0)"},
		{statusText(&container.OCIState{Status: "stopped", Exit: &store.Exit{Status: 137, Signal: "SIGKILL"}}), "stopped (SIGKILL)"},
		{ageText(-time.Second), "-"}, {ageText(59 * time.Second), "59 s"}, {ageText(time.Minute), "1 min"}, {ageText(90 * time.Minute), "1 h"},
		{ageText(47 * time.Hour), "47 h"}, {ageText(48 * time.Hour), "2 days"}, {ageText(time.Since(time.Time{})), "-"},
		{bytesText(0), "-"}, {bytesText(999), "999 B"}, {bytesText(1000), "1.0 KiB"}, {bytesText(64 << 20), "64.0 MiB"}, {bytesText(1 << 50), "1024.0 TiB"},
		{strings.Join(shells("/usr/bin/zsh"), " "), "/usr/bin/zsh /bin/bash /bin/sh"},
		{strings.Join(shells("zsh"), " "), "/bin/bash /bin/sh"}, {strings.Join(shells("/bin/sh"), " "), "/bin/bash /bin/sh"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// A line of stats: what was used since the last one, and what has no limit.
func TestUsage(t *testing.T) {
	now := time.Now()
	s := &cgroupv2.Stats{}
	s.CPU.Usage.Total = 3e9
	s.Memory.Usage = cgroupv2.MemoryEntry{Usage: 1 << 20, Limit: 1<<64 - 1}
	s.Pids = cgroupv2.PidsStats{Current: 2}
	s.Blkio.IoServiceBytesRecursive = []cgroupv2.BlkioEntry{{Op: "Read", Value: 1}, {Op: "Read", Value: 2}, {Op: "Write", Value: 4}, {Op: "Discard", Value: 8}}
	u := newUsage("web", s, usage{total: 1e9, at: now.Add(-4 * time.Second)}, now)
	if u.CPU != 50 || u.MemoryLimit != 0 || u.Read != 3 || u.Written != 4 {
		t.Errorf("%+v", u)
	}
	if got, want := u.row(), "web\t50.0\t1.0 MiB\t-\t2\t3 B\t4 B"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	s.Memory.Usage.Limit, s.Pids.Limit, s.CPU.Usage.Total = 2<<20, 10, 1e9
	again := newUsage("web", s, u, now.Add(time.Second)) // another container of that id may have used less
	if got, want := again.row(), "web\t0.0\t1.0 MiB\t2.0 MiB\t2/10\t3 B\t4 B"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := newUsage("web", nil, u, now).row(); got != "web\t-\t-\t-\t-\t-\t-" {
		t.Errorf("%q", got)
	}
}

// Each verb that help shows is under one of its headings, people's first.
func TestGroups(t *testing.T) {
	root := newRootCommand(&options{}, nil)
	for _, c := range root.Commands() {
		if !root.ContainsGroup(c.GroupID) || c.GroupID == "" {
			t.Errorf("%s is in %q", c.Name(), c.GroupID)
		}
	}
	help := root.UsageString()
	people, engines := strings.Index(help, "\n  stop "), strings.Index(help, "\n  create ")
	if people < 0 || engines < people || strings.Contains(help, "Additional Commands") {
		t.Error(help)
	}
}

// A directory for an overlay's changes is the caller's alone.
func TestOnlyMine(t *testing.T) {
	dir := t.TempDir()
	for mode, want := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o775: true, 0o777: false, 0o777 | os.ModeSticky: false, 0o702: false} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := onlyMine(dir); (err == nil) != want || err != nil && !strings.Contains(err.Error(), "others may write in it") {
			t.Errorf("%o: %v", mode, err)
		}
	}
	if err := os.Chmod(dir, 0o775); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root", "filled", "layer", "layer%usr", "notes.txt"} {
		if err := os.Mkdir(dir+"/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
		err := onlyMine(dir)
		if (err != nil) != (name == "notes.txt") || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("with %s: %v", name, err)
		}
	}
	if err := os.Remove(dir + "/notes.txt"); err != nil {
		t.Fatal(err)
	}
}

// One that another group may write, or that is another user's, is not.
func TestNotMine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a directory away")
	}
	for want, owner := range map[string][2]int{"others may write in it": {-1, 4242}, "it belongs to user 4242": {4242, 0}} {
		dir := t.TempDir()
		if err := errors.Join(os.Chmod(dir, 0o775), os.Chown(dir, owner[0], owner[1])); err != nil {
			t.Fatal(err)
		}
		if err := onlyMine(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
