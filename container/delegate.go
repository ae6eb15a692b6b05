package container

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Theory of operation
//
// Annotation run.oci.delegate-cgroup means what crun.1 says: the container's
// cgroup has the limits and is the root of the cgroup namespace; in it a cgroup is
// made for the program, and given to the container's root. So the program can give
// controllers to cgroups that it makes, while the limits lie above. Init is moved once it has its namespace, or that would be the namespace's root. What
// else goes by the container's cgroup needs to know nothing of it: exec follows
// init, and kill, pause and delete take all that is below.

const delegateAnnotation = "run.oci.delegate-cgroup"

// planDelegate reads the annotation; an empty one asks for nothing.
func (p *cgroupPlan) planDelegate() error {
	name := p.config.Annotations[delegateAnnotation]
	if name == "" {
		return nil
	}
	p.delegate = strings.TrimPrefix(path.Clean("/"+name), "/")
	switch {
	case p.delegate == "", strings.Contains(name, "\x00"), slices.Contains(strings.Split(name, "/"), ".."):
		return fmt.Errorf("config.json: annotations[%q]: %q is not the name of a cgroup below the container's", delegateAnnotation, name)
	case !p.into() && !p.outside():
		return fmt.Errorf("config.json: annotations[%q]: the container has no cgroup: %s", delegateAnnotation, p.choice.Reason)
	}
	return nil
}

// moveDown makes the delegated cgroup and moves init there.
func (p *cgroupPlan) moveDown(c *Container, pid int) error {
	if p.delegate == "" {
		return nil
	}
	dir, err := c.openCgroup()
	if err != nil {
		return err
	}
	if dir == nil {
		return errors.New("BUG: there is no cgroup to make the delegated one in")
	}
	defer dir.Close()
	leaf, _, err := dir.Create(p.delegate, nil)
	if err != nil {
		return err
	}
	defer leaf.Close()
	if err := leaf.Attach(pid); err != nil {
		return err
	}
	// A cgroup with processes gives no controllers to its children, so those on
	// the way down come after the move.
	again, _, err := dir.Create(p.delegate, nil)
	if err != nil {
		return err
	}
	defer again.Close()
	return p.give(again)
}
