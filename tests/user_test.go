package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// user is an unprivileged user with subordinate ids.
type user struct {
	name     string
	uid, gid int
	// home and runtime are directories of its own.
	home, runtime string
	// made says that the user was made for the tests.
	made bool
}

// findUser finds a user with a subordinate range, or as root makes one. When
// tests run without root the user is the caller.
func findUser(dir string) (*user, error) {
	u := &user{home: filepath.Join(dir, "home"), runtime: filepath.Join(dir, "run")}
	var err error
	if os.Getuid() != 0 {
		u.uid, u.gid = os.Getuid(), os.Getgid()
		u.name = nameOf(u.uid)
	} else if err = u.lookUp(); err != nil {
		err = u.create()
	}
	if err != nil {
		return nil, err
	}
	for _, d := range []string{u.home, u.runtime} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
		if err := os.Chown(d, u.uid, u.gid); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// lookUp takes the first in /etc/subuid who has a range in both files.
func (u *user) lookUp() error {
	uids, gids := owners("/etc/subuid"), owners("/etc/subgid")
	for _, line := range lines("/etc/passwd") {
		f := strings.Split(line, ":")
		if len(f) < 4 || f[2] == "0" || !uids[f[0]] || !gids[f[0]] {
			continue
		}
		u.name = f[0]
		u.uid, _ = strconv.Atoi(f[2])
		u.gid, _ = strconv.Atoi(f[3])
		return nil
	}
	return fmt.Errorf("no user has a range in /etc/subuid and /etc/subgid")
}

// create makes a user; useradd grants a range by itself.
func (u *user) create() error {
	name := "homerun-test-" + strconv.Itoa(os.Getpid())
	if text, err := exec.Command("useradd", "--no-create-home", "--home-dir", u.home, name).CombinedOutput(); err != nil {
		return fmt.Errorf("useradd %s: %w: %s", name, err, text)
	}
	u.name, u.made = name, true
	return u.lookUp()
}

func (u *user) remove() {
	if !u.made {
		return
	}
	if text, err := exec.Command("userdel", u.name).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "userdel %s: %v: %s\n", u.name, err, text)
	}
}

func nameOf(uid int) string {
	for _, line := range lines("/etc/passwd") {
		if f := strings.Split(line, ":"); len(f) > 3 && f[2] == strconv.Itoa(uid) {
			return f[0]
		}
	}
	return ""
}

func owners(file string) map[string]bool {
	set := make(map[string]bool)
	for _, line := range lines(file) {
		name, _, _ := strings.Cut(line, ":")
		set[name] = true
	}
	return set
}

func lines(file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
