package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"

	"golang.org/x/sys/unix"
)

// lease makes a file and has a write lease on it: who opens it waits until the
// lease is gone (fcntl(2), F_SETLEASE). With "hold" the file is like passwd(5), and
// nothing happens then. Else it is a copy of this program, and all other processes
// of the container are stopped ("stop"), or looked into and let go on ("look"). It
// ends with its standard input.
func lease(file, act string) error {
	end := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(end)
	}()
	text, err := []byte("web:x:7:7::/leased:/bin/sh\nroot:x:0:0::/leased:/bin/sh\n"), error(nil)
	if act != "hold" {
		text, err = os.ReadFile("/proc/self/exe")
	}
	if err == nil {
		err = os.WriteFile(file, text, 0o755)
	}
	if err != nil {
		return err
	}
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, unix.SIGIO)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return fmt.Errorf("F_SETLEASE: %w", err)
	}
	fmt.Println("waiting")
	for {
		select {
		case <-end:
			return nil
		case <-broken:
			if act == "hold" {
				continue
			}
			text, _ := json.Marshal(toOthers(act))
			fmt.Println(string(text))
			if act == "stop" {
				continue // with the lease, or it is the program before it stops
			}
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
				return err
			}
		}
	}
}

// toOthers does something to each process but init, which is this one.
func toOthers(act string) map[string]string {
	seen := map[string]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		seen["/proc"] = err.Error()
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := "/proc/" + e.Name()
		if act == "stop" {
			seen[dir] = outcome(unix.Kill(pid, unix.SIGSTOP))
			continue
		}
		for _, name := range []string{dir + "/exe", dir + "/fd/0"} {
			link, err := os.Readlink(name)
			seen[name] = link + outcome(err)
		}
		seen[dir+"/environ"] = outcome(open(dir+"/environ", unix.O_RDONLY))
	}
	return seen
}
