package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// stat is what /proc/PID/stat says of a process.
type stat struct {
	comm   string
	state  byte
	parent int
}

func statOf(pid int) (s stat, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return s, err
	}
	open, end := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
	if open < 0 || end < open {
		return s, fmt.Errorf("process %d: %q", pid, text)
	}
	s.comm = string(text[open+1 : end])
	_, err = fmt.Sscanf(string(text[end+1:]), " %c %d", &s.state, &s.parent)
	return s, err
}

// tree has the children of each process.
func tree() map[int][]int {
	all := make(map[int][]int)
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		pid, _ := strconv.Atoi(filepath.Base(name))
		if s, err := statOf(pid); err == nil {
			all[s.parent] = append(all[s.parent], pid)
		}
	}
	return all
}

func childrenOf(pid int) map[int]bool {
	set := make(map[int]bool)
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range files {
		text, _ := os.ReadFile(name)
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				set[child] = true
			}
		}
	}
	return set
}

// below are all processes below one, without those below some of them.
func below(all map[int][]int, pid int, without []int) (list []int) {
	for _, child := range all[pid] {
		if !slices.Contains(without, child) {
			list = append(append(list, child), below(all, child, without)...)
		}
	}
	return list
}

// describe is a process in a line.
func describe(pid int) string {
	s, err := statOf(pid)
	if err != nil {
		return fmt.Sprintf("process %d, which has ended", pid)
	}
	return fmt.Sprintf("process %d of %d: %s (%c): %s: waits in %s%s", pid, s.parent, s.comm, s.state, commandLine(pid), wchan(pid), inContainer(pid))
}

// inContainer says in which container a process is, by the directory of the id's own that
// is mounted there.
func inContainer(pid int) string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "mountinfo"))
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == "/ids" {
			return ": in " + filepath.Base(f[3])
		}
	}
	return ""
}

func commandLine(pid int) string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
}

func wchan(pid int) string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "wchan"))
	return string(text)
}
