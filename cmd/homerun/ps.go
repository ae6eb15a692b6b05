package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/plain"
)

// hostPs runs the host's ps(1), for options that only it knows, and prints its
// heading and the lines of these processes. Alone, options like -o pid,args select the
// caller's own terminal.
func hostPs(ctx context.Context, w io.Writer, pids []int, options []string) error {
	numbers := make([]string, len(pids))
	for i, pid := range pids {
		numbers[i] = strconv.Itoa(pid)
	}
	these := append(slices.Clone(options), "-p", strings.Join(numbers, ","))
	text, err := exec.CommandContext(ctx, "ps", these...).Output()
	if err != nil { // busybox has no -p
		text, err = exec.CommandContext(ctx, "ps", options...).Output()
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("ps %s: %w: %s", strings.Join(options, " "), err, firstWords(exit.Stderr))
	} else if err != nil {
		return fmt.Errorf("run ps: %w", err)
	}
	return filterPs(w, string(text), pids)
}

func firstWords(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return line
}

// filterPs copies the heading and the lines whose column PID is one of pids.
func filterPs(w io.Writer, text string, pids []int) error {
	heading, lines, _ := strings.Cut(text, "\n")
	column := slices.Index(strings.Fields(heading), "PID")
	if column < 0 {
		return errors.New("the output of ps has no column PID: have it among the others, as -o pid,args")
	}
	fmt.Fprintln(w, heading)
	for _, line := range strings.Split(lines, "\n") {
		if fields := strings.Fields(line); len(fields) > column {
			if pid, err := strconv.Atoi(fields[column]); err == nil && slices.Contains(pids, pid) {
				fmt.Fprintln(w, plain.Text(line))
			}
		}
	}
	return nil
}
