package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroup"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/limits"
	"github.com/homerun-oci/homerun/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// An update is laid over what the container has: config.json's resources, and
// the updates before, which resources.json keeps. Of the result only what the
// update touches is written. Limits of a scope are set through systemd too, or
// its next daemon-reload would bring the old ones back; then systemd's work is
// proven in the scope's files, and the container's own cgroup below, which
// shows programs their limits, gets the same.

// resourcesFile holds what updates made of config.json's resources.
const resourcesFile = "resources.json"

// Update changes the limits of a container that has not stopped. What is not
// set stays, an update without anything succeeds, and device rules are never
// touched.
//
// A memory limit below what is in use is an error: with checkBeforeUpdate at
// once; without, after the kernel was asked to take back what it can; if
// checkBeforeUpdate is false it is set all the same, and the kernel may kill.
func (r *Runtime) Update(ctx context.Context, id string, update *specs.LinuxResources) error {
	c, err := r.openUpdatable(ctx, id)
	if err != nil {
		return err
	}
	defer c.Close()
	stored, err := c.resources()
	if err != nil {
		return err
	}
	merged, touched := limits.Merge(stored, update)
	if err := c.apply(ctx, touched); err != nil {
		return err
	}
	return c.keepResources(merged)
}

// openUpdatable opens a container that has not stopped. Close it.
func (r *Runtime) openUpdatable(ctx context.Context, id string) (*Container, error) {
	c, err := r.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	status, err := c.Status()
	if err == nil && (status == Stopped || status == Creating) {
		err = fmt.Errorf("cannot update a %s container: %w", status, ErrNotRunning)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// resources are the container's as they are now.
func (c *Container) resources() (*specs.LinuxResources, error) {
	text, err := c.dir.ReadFile(resourcesFile)
	if err == unix.ENOENT {
		b, err := c.bundle()
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil // a container without a bundle began without limits
		} else if err != nil {
			return nil, err
		}
		return resources(b.Config), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", resourcesFile, err)
	}
	res, err := bundle.DecodeResources(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", resourcesFile, err)
	}
	return res, nil
}

// keepResources stores them for the next update.
func (c *Container) keepResources(res *specs.LinuxResources) error {
	text, err := json.Marshal(res)
	if err == nil {
		err = c.dir.ReplaceFile(resourcesFile, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", resourcesFile, err)
	}
	return nil
}

// apply writes what an update touches.
func (c *Container) apply(ctx context.Context, touched *specs.LinuxResources) error {
	set, warnings, err := limits.Of(touched)
	if err != nil {
		return err
	}
	c.runtime.warnOf(warnings)
	if len(set) == 0 {
		return nil
	}
	dir, err := c.openCgroup()
	if err != nil {
		return err
	}
	if dir == nil && !set.Restricts() {
		return nil
	}
	if dir == nil {
		return &fault.Error{What: "the container has no cgroup, so it cannot have limits", Cause: ErrNoCgroup}
	}
	defer dir.Close()
	if err := checkMemory(dir, set); err != nil {
		return err
	}
	if c.State.Cgroup.Scope != "" {
		return c.applyScope(ctx, dir, set)
	}
	return c.applyFiles(dir, set)
}

// checkMemory refuses a limit below what is in use.
func checkMemory(dir *live.Dir, set limits.Set) error {
	checks, asked := cgroupv2.Checks(set)
	if !asked {
		dir.Reclaim(checks)
	}
	return dir.Check(checks)
}

// applyFiles writes to a cgroup that is the runtime's alone, and to the one above
// it that was made for the limits. Controllers that it does not have yet are
// turned on, from the top of the tree down.
func (c *Container) applyFiles(dir *live.Dir, set limits.Set) error {
	if controllers := lacking(dir, set); len(controllers) > 0 {
		if err := enableAbove(dir.Path(), controllers); err != nil {
			return err
		}
	}
	writes := cgroupv2.Files(set)
	if c.State.Cgroup.LimitsAbove {
		above, err := live.Open(path.Dir(dir.Path()))
		if err != nil {
			return err
		}
		defer above.Close()
		if err := above.Apply(writes); err != nil {
			return err
		}
	}
	return dir.Apply(writes)
}

// lacking lists the controllers that the limits need and the cgroup has not.
func lacking(dir *live.Dir, set limits.Set) []string {
	have, err := dir.Available()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(set.Controllers(), func(name string) bool { return slices.Contains(have, name) })
}

// enableAbove gives a cgroup more controllers.
func enableAbove(name string, controllers []string) error {
	mount := probe.CgroupMountPoint()
	top, err := live.Open(mount)
	if err != nil {
		return err
	}
	defer top.Close()
	leaf, _, err := top.Create(strings.TrimPrefix(strings.TrimPrefix(name, mount), "/"), controllers)
	if err == nil {
		leaf.Close()
	}
	return err
}

// applyScope sets the scope's properties, then the files that no property
// stands for or that systemd did not write, then those of the container's own
// cgroup.
func (c *Container) applyScope(ctx context.Context, dir *live.Dir, set limits.Set) error {
	writes, request := cgroupv2.Files(set), systemd.Resources(set)
	if err := c.setProperties(ctx, request.Properties); err != nil {
		return err
	}
	if at := cgroup.ScopeOf(&c.State.Cgroup); at != dir.Path() {
		scope, err := live.Open(at)
		if err != nil {
			return err
		}
		defer scope.Close()
		awaitControllers(ctx, scope, set)
		if err := scope.Ensure(writes); err != nil {
			return err
		}
		if err := scope.Enable(set.Controllers()); err != nil {
			return err
		}
	} else {
		awaitControllers(ctx, dir, set)
	}
	return dir.Ensure(writes)
}

func (c *Container) setProperties(ctx context.Context, list []systemd.Property) error {
	if len(list) == 0 {
		return nil
	}
	conn, err := c.cgroup().Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.SetProperties(ctx, c.State.Cgroup.Scope, list)
	return err
}

// awaitControllers gives systemd, which answers before it acts, a moment to
// turn on the controllers of the properties.
func awaitControllers(ctx context.Context, scope *live.Dir, set limits.Set) {
	if missing := lacking(scope, set); len(missing) > 0 {
		scope.BecomesAvailable(ctx, missing, time.Second)
	}
}
