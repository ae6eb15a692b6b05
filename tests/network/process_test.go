package network

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func readText(name string) string {
	text, _ := os.ReadFile(name)
	return string(text)
}

// commandName is the first word of a process's command line; empty when it has
// ended.
func commandName(pid int) string {
	line, _, _ := strings.Cut(readText("/proc/"+strconv.Itoa(pid)+"/cmdline"), "\x00")
	if line == "" {
		return ""
	}
	return filepath.Base(line)
}

// waitFor finds the process with that command line.
func waitFor(t *testing.T, line string) int {
	t.Helper()
	want := strings.ReplaceAll(line, " ", "\x00") + "\x00"
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, f := range files {
			if readText(f) == want {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
				return pid
			}
		}
	}
	t.Fatalf("no process runs %q", line)
	return 0
}
