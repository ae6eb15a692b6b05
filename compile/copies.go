package compile

import (
	"slices"
	"strconv"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	"github.com/homerun-oci/homerun/rootfs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// InputCopies is a UNIX socket over which init gives the runtime what to copy:
// for each action.Copy a clone of the covered mount, the tmpfs, and, if the copy is
// Apart, the container's user namespace.
const InputCopies = "copies"

// maybeCopies reports whether the plan's second part may copy.
func (c *compiler) maybeCopies() bool {
	return !c.exec && c.parts && !c.ns.othersMounts && (c.wishes.Overlay != nil || slices.ContainsFunc(c.spec.Mounts, rootfs.MayCopy))
}

// copyOutside lets the runtime copy what lies at from to the tmpfs at to.
func (c *compiler) copyOutside(r rootfs.Copy, from, to plan.Slot) {
	copied := action.Copy{Copy: r, Apart: c.ns.newUser || c.joinsUser(), UID: c.workingUID, GID: c.workingGID}
	c.send(from, "covered")
	c.send(to, "tmpfs")
	if copied.Apart {
		user := c.b.Get("user", plan.Openat2{DirFD: plan.AtCWD(), Path: "/proc/self/ns/user", Flags: unix.O_RDONLY | unix.O_CLOEXEC})
		c.send(user, "user namespace")
		c.b.Close(user)
	}
	c.await(c.sync, "copied")
	c.runtime(r.Pointer, copied)
	c.answerAt(r.Pointer, "copied")
}

func (c *compiler) send(fd plan.Slot, text string) {
	c.b.Do(plan.SendFD{Socket: c.copies.Ref(), FD: fd, Text: text})
}

// The inputs of CompileCopier.
const (
	// InputUser is the user namespace to join.
	InputUser = "user"
	// InputProgram is the program to execute.
	InputProgram = "program"
)

// CompileCopier makes the plan for a process that joins the user namespace of
// the input "user", takes the ids of the copy there, and executes the input
// "program" with args. All else, standard streams too, is the caller's.
func CompileCopier(copied action.Copy, name string, args []string) (*Result, error) {
	c := &compiler{spec: withDefaults(&specs.Spec{}), facts: &host.Facts{}, result: &Result{}, exec: true}
	if err := c.inputs(); err != nil {
		return nil, err
	}
	user := c.input(InputUser)
	program := "/proc/self/fd/" + strconv.Itoa(c.highest)
	c.input(InputProgram)
	c.runtime("default", action.StartStage{Name: name})
	c.b.At("default", "close what the caller left open")
	c.b.Do(plan.CloseRange{First: c.highest})
	c.b.At("default", "hide from the container")
	process.Hide(c.b)
	c.b.At("default", "join the container's user namespace").For(plan.ForJoin, "")
	c.setns(user, unix.CLONE_NEWUSER)
	c.b.At("default", "become the container's root")
	process.SetGID(c.b, copied.GID)
	process.SetUID(c.b, copied.UID)
	c.b.At("default", "exec the copying program").For(plan.ForProgram, "the copying program")
	c.b.Do(plan.CloseRange{First: 3, Flags: unix.CLOSE_RANGE_CLOEXEC})
	c.b.Do(plan.Execve{Path: program, Args: args})
	c.runtime("default", action.AwaitProgram{})
	p, err := c.b.Build()
	c.result.Plan = p
	return c.result, err
}
