package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

func hasStrace() bool {
	_, err := exec.LookPath("strace")
	return err == nil
}

// totalCalls matches strace's last line: shares, seconds, microseconds, calls.
var totalCalls = regexp.MustCompile(`(?m)^\s*100\.00\s+[0-9.]+\s+[0-9]+\s+([0-9]+)\s.*total$`)

// count runs a command, and counts its system calls and those of all that it starts,
// up to its own end: what goes on after that is let go.
func (b *bench) count(args ...string) (int, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	log, err := os.Create(b.file("log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command("strace", append([]string{"-f", "-c", "-I2", "-o", b.file("calls"), filepath.Join(b.programs, "spawn"), "1"}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return 0, err
	}
	line, readErr := bufio.NewReader(r).ReadString('\n')
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = cmd.Wait()                          // by the signal
	if readErr != nil {
		return 0, fmt.Errorf("strace of %s: %w", strings.Join(args, " "), readErr)
	}
	if _, status, err := parseReport(line); err != nil || status != 0 {
		return 0, fmt.Errorf("strace of %s: exit status %d, %v", strings.Join(args, " "), status, err)
	}
	return b.readCalls()
}

func (b *bench) readCalls() (int, error) {
	text, err := os.ReadFile(b.file("calls"))
	if err != nil {
		return 0, err
	}
	found := totalCalls.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("no sum of calls in\n%s", text)
	}
	return strconv.Atoi(string(found[1]))
}
