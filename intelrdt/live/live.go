// Package live carries a plan of package intelrdt out in the kernel's resctrl
// file system: it makes classes of service and monitoring groups, puts processes
// into them, and removes them. See Documentation/filesystems/resctrl.rst.
package live

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/intelrdt"
)

// ErrMismatch reports a class that exists with other schemata: it belongs to
// others too, so it is not changed.
var ErrMismatch = errors.New("the class of service exists with other schemata")

// ErrShared reports a class that was not made for the container.
var ErrShared = errors.New("the container has no class of service of its own")

// Created says what Apply made, for Remove.
type Created struct {
	Class, Monitor string
	// Unsure says that Apply was not heard of: the directories may be missing, or
	// somebody else's.
	Unsure bool `json:",omitempty"`
}

// Missing says what Apply would make, to be recorded before.
func Missing(p *intelrdt.Plan, root string) Created {
	c := Created{Unsure: true}
	if dir := p.Directory(root); p.Class != "" && missing(dir) {
		c.Class = dir
	}
	if group := p.Group(root); p.Monitor != "" && missing(group) {
		c.Monitor = group
	}
	return c
}

func missing(dir string) bool {
	_, err := os.Lstat(dir)
	return errors.Is(err, os.ErrNotExist)
}

// Apply puts the process into its class below root, where resctrl is mounted, and
// makes the class unless it is there. On an error nothing that it made is left.
// Errors: ErrMismatch, os.ErrExist for a class of somebody else with the
// container's name, and what the kernel says.
func Apply(p *intelrdt.Plan, root string, pid int) (made Created, err error) {
	defer func() {
		if err != nil {
			_ = made.Remove()
			made = Created{}
		}
	}()
	if _, err := os.Stat(root + "/schemata"); err != nil {
		return made, fmt.Errorf("resctrl is not mounted on %s: %w", root, err)
	}
	dir := p.Directory(root)
	if p.Class != "" {
		switch err := os.Mkdir(dir, 0o755); {
		case err == nil:
			made.Class = dir
		case !errors.Is(err, os.ErrExist) || p.Own:
			return made, fmt.Errorf("make the class of service %s: %w", p.Class, err)
		}
	}
	if err := schemata(p, dir, made.Class != "" || p.Class == ""); err != nil {
		return made, err
	}
	if err := write(dir+"/tasks", strconv.Itoa(pid)); err != nil {
		return made, err
	}
	return made, monitor(p, root, pid, &made)
}

func monitor(p *intelrdt.Plan, root string, pid int, made *Created) error {
	if p.Monitor == "" {
		return nil
	}
	group := p.Group(root)
	if err := os.Mkdir(group, 0o755); err != nil {
		return fmt.Errorf("make the monitoring group %s: %w", p.Monitor, err)
	}
	made.Monitor = group
	return write(group+"/tasks", strconv.Itoa(pid))
}

// schemata writes the lines into a class of our own, or wants them in one of
// others.
func schemata(p *intelrdt.Plan, dir string, ours bool) error {
	if len(p.Schemata) == 0 {
		return nil
	}
	if ours {
		return write(dir+"/schemata", strings.Join(p.Schemata, "\n")+"\n")
	}
	text, err := os.ReadFile(dir + "/schemata")
	if err != nil {
		return err
	}
	have := lines(string(text))
	for _, s := range p.Schemata {
		if !slices.Contains(have, strings.TrimSpace(s)) {
			return fmt.Errorf("%s: %q: %w", p.Class, s, ErrMismatch)
		}
	}
	return nil
}

func lines(text string) []string {
	var list []string
	for _, l := range strings.Split(text, "\n") {
		list = append(list, strings.TrimSpace(l))
	}
	return list
}

// write writes a file of resctrl in one call, and adds what the kernel says
// about the last failure.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		why, _ := os.ReadFile(intelrdt.Root + "/info/last_cmd_status")
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(why)))
	}
	return nil
}

// Remove removes what Apply made; what is gone already is no error. What is not
// known to be ours stays if a process is in it.
func (c Created) Remove() error {
	for _, dir := range []string{c.Monitor, c.Class} {
		if dir == "" || c.Unsure && inhabited(dir) {
			continue
		}
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func inhabited(dir string) bool {
	tasks, _ := os.ReadFile(dir + "/tasks")
	return len(tasks) > 0
}

// Change writes other schemata into the class that Apply made. One that it did
// not make belongs to others: ErrShared.
func (c Created) Change(schemata []string) error {
	if c.Class == "" || c.Unsure {
		return ErrShared
	}
	return write(c.Class+"/schemata", strings.Join(schemata, "\n")+"\n")
}
