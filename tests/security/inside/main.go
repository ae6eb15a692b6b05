// Command inside is the program that the security tests run in containers. It
// prints what it sees as one line of JSON, or plays the enemy.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Report is what a process in a container sees.
type Report struct {
	// FDs are its open descriptors, with what they lead to.
	FDs map[string]string
	// Mounts are the lines of mountinfo.
	Mounts []string
	// Env is its environment.
	Env []string
	// Status are fields of /proc/self/status.
	Status map[string]string
	// Proc, Null and Cwd tell whether /proc is procfs, /dev/null is 1:3, and
	// where the working directory is.
	Proc, Null bool
	Cwd        string
	// Tries has the outcome of each try, by its argument.
	Tries map[string]string
}

func main() {
	signal.Ignore(unix.SIGPIPE)
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{"ok"}
	}
	switch args[0] {
	case "ok":
	case "report":
		report(os.Stdout, args[1:])
	case "record":
		record(args[1], args[2:])
	case "say":
		text, err := strconv.Unquote(`"` + args[1] + `"`)
		fmt.Fprint(os.Stderr, text, err)
		os.Exit(1)
	case "wait":
		fmt.Println("waiting")
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "spy":
		spy()
	case "sleep":
		time.Sleep(time.Minute)
	case "notify":
		notify(args[1:])
	case "orphans":
		orphans()
	case "orphan":
		_ = exec.Command("/inside", "ok").Start()
	case "plant":
		plant(args[1])
	case "headless":
		headless()
	case "lease":
		if err := lease(args[1], args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "exchange":
		exchange(args[1], args[2:])
	default:
		fmt.Fprintln(os.Stderr, "unknown:", args[0])
		os.Exit(64)
	}
}

// record reports to a file, which it makes.
func record(file string, tries []string) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer f.Close() // after what the report says of descriptors
	report(f, tries)
}

// spy looks into all other processes until its standard input ends, and writes
// to /spied what it sees of those that do not run this program.
func spy() {
	fmt.Println("waiting")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	out, err := os.OpenFile("/spied", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for ; ; time.Sleep(5 * time.Millisecond) {
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, l := range links {
			what, err := os.Readlink(l)
			if err != nil {
				what = outcome(err)
			}
			if what != "/inside" && what != "ENOENT" {
				fmt.Fprintln(out, what)
			}
		}
	}
}

func report(to io.Writer, tries []string) {
	r := Report{FDs: fds(), Env: os.Environ(), Status: status(), Tries: map[string]string{}}
	if text, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		r.Mounts = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	var fs unix.Statfs_t
	r.Proc = unix.Statfs("/proc", &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
	var st unix.Stat_t
	r.Null = unix.Stat("/dev/null", &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && uint64(st.Rdev) == unix.Mkdev(1, 3)
	r.Cwd, _ = unixGetcwd()
	for _, t := range tries {
		r.Tries[t] = try(t)
	}
	text, _ := json.Marshal(r)
	fmt.Fprintln(to, string(text))
}

// unixGetcwd asks the kernel, which marks what is outside of the root.
func unixGetcwd() (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Getcwd(buf)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(buf[:n]), "\x00"), nil
}

func fds() map[string]string {
	list := map[string]string{}
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil
	}
	names, _ := dir.Readdirnames(-1)
	own := strconv.Itoa(int(dir.Fd()))
	for _, n := range names {
		if link, err := os.Readlink("/proc/self/fd/" + n); err == nil && n != own && !strings.HasPrefix(link, "anon_inode:[event") {
			list[n] = link
		}
	}
	dir.Close()
	return list
}

func status() map[string]string {
	fields := map[string]string{}
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		k, v, _ := strings.Cut(line, ":")
		fields[k] = strings.TrimSpace(v)
	}
	return fields
}

// try does one thing: "read PATH", "write PATH", "create PATH", "list PATH",
// "stat PATH", "link PATH", "cat PATH", "chmod PATH", "key NAME".
func try(what string) string {
	verb, path, _ := strings.Cut(what, " ")
	switch verb {
	case "read":
		return outcome(open(path, unix.O_RDONLY))
	case "write":
		return outcome(open(path, unix.O_WRONLY))
	case "create":
		return outcome(open(path, unix.O_WRONLY|unix.O_CREAT))
	case "link":
		link, err := os.Readlink(path)
		if err != nil {
			return outcome(err)
		}
		return link
	case "cat":
		text, err := os.ReadFile(path)
		if err != nil {
			return outcome(err)
		}
		return string(text)
	case "list":
		return list(path)
	case "chmod":
		return outcome(unix.Chmod(path, 0o004))
	case "stat":
		return stat(path)
	case "key":
		return key(path)
	}
	return "unknown verb " + verb
}

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var b [1]byte
	if flags&unix.O_WRONLY == 0 {
		n, err := unix.Read(fd, b[:])
		if err == nil && n == 0 {
			return errors.New("empty")
		}
	}
	return nil
}

func outcome(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func list(path string) string {
	entries, err := os.ReadDir(path)
	if err != nil {
		return outcome(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// stat prints type, permissions, owner, device number and extended attributes.
func stat(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return outcome(err)
	}
	s := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	if t := st.Mode & unix.S_IFMT; t == unix.S_IFCHR || t == unix.S_IFBLK {
		s += fmt.Sprintf(" %d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	}
	value := make([]byte, 64)
	if n, err := unix.Lgetxattr(path, "user.homerun", value); err == nil {
		s += " user.homerun=" + string(value[:n])
	}
	return s
}

// exchange swaps the names in pairs until its standard input ends, and prints
// how often.
func exchange(dir string, pairs []string) {
	end := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(end)
	}()
	fmt.Println("exchanging")
	for n := 0; ; n++ {
		select {
		case <-end:
			fmt.Println(n)
			return
		default:
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			a, b := filepath.Join(dir, pairs[i]), filepath.Join(dir, pairs[i+1])
			if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil && n == 0 {
				fmt.Fprintln(os.Stderr, a, b, err)
				os.Exit(1)
			}
		}
	}
}
