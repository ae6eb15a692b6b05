package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sample is one run of one command.
type sample struct {
	nanoseconds int64
	kilobytes   int64 // peak resident set of the command and what it waited for
	faults      int64 // page faults of the same that needed no disk
}

// spawn runs a command, so many times at once, by way of the small launcher, which measures it.
func (b *bench) spawn(count int, args ...string) (sample, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return sample{}, err
	}
	defer r.Close()
	// What a container writes goes to a file: a pipe would stay open as long as the container.
	log, err := os.Create(b.file("log"))
	if err != nil {
		return sample{}, err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(b.programs, "spawn"), append([]string{strconv.Itoa(count)}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return sample{}, err
	}
	report, readErr := io.ReadAll(r)
	if err := cmd.Wait(); err != nil {
		return sample{}, err
	}
	if readErr != nil {
		return sample{}, readErr
	}
	s, status, err := parseReport(string(report))
	if err == nil && status != 0 {
		text, _ := os.ReadFile(log.Name())
		err = fmt.Errorf("exit status %d\n%s", status, text)
	}
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return s, nil
}

func parseReport(line string) (s sample, status int, err error) {
	_, err = fmt.Sscanf(line, "%d %d %d %d", &s.nanoseconds, &s.kilobytes, &status, &s.faults)
	return s, status, err
}

// pin keeps this process, and so all that it starts, on some CPUs.
func pin(cpus string) error {
	if cpus == "" {
		return nil
	}
	var set unix.CPUSet
	for _, field := range strings.Split(cpus, ",") {
		n, err := strconv.Atoi(field)
		if err != nil {
			return fmt.Errorf("-cpus %s: %w", cpus, err)
		}
		set.Set(n)
	}
	// Affinity belongs to a thread, and children get that of the one they are started from.
	runtime.LockOSThread()
	return unix.SchedSetaffinity(0, &set)
}
