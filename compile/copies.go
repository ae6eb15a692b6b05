package compile

import (
	"slices"
	"strconv"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	"github.com/homerun-oci/homerun/rootfs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// InputCopies is a UNIX socket over which init gives the runtime what to copy:
// for each DoCopy a clone of the covered mount, the tmpfs, and, if the copy is
// Apart, the container's user namespace.
const InputCopies = "copies"

// DoCopy copies from one mount to another while init waits.
const DoCopy = "copy"

// Copy is a copy that the runtime makes.
type Copy struct {
	rootfs.Copy
	// Apart: the container's user namespace is not the runtime's, so another
	// process copies, in that namespace and with these ids.
	Apart    bool
	UID, GID uint32
}

// maybeCopies reports whether the plan's second part may have a DoCopy.
func (c *compiler) maybeCopies() bool {
	return !c.exec && c.parts && !c.ns.othersMounts && slices.ContainsFunc(c.spec.Mounts, rootfs.MayCopy)
}

// copyOutside lets the runtime copy what lies at from to the tmpfs at to.
func (c *compiler) copyOutside(r rootfs.Copy, from, to plan.Slot) {
	copied := Copy{Copy: r, Apart: c.ns.newUser || c.joinsUser(), UID: c.workingUID, GID: c.workingGID}
	c.result.Copies = append(c.result.Copies, copied)
	c.send(from, "covered")
	c.send(to, "tmpfs")
	if copied.Apart {
		user := c.b.Get("user", plan.Openat2{DirFD: plan.AtCWD(), Path: "/proc/self/ns/user", Flags: unix.O_RDONLY | unix.O_CLOEXEC})
		c.send(user, "user namespace")
		c.b.Close(user)
	}
	c.await(c.sync, "copied")
	c.b.Runtime(plan.RuntimeStep{Do: DoCopy, Text: "copy what the tmpfs covers", Pointer: r.Pointer})
	c.b.Runtime(plan.RuntimeStep{Signal: "copied", Text: "init goes on", Pointer: r.Pointer})
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
func CompileCopier(copied Copy, args []string) (*Result, error) {
	c := &compiler{spec: withDefaults(&specs.Spec{}), facts: &host.Facts{}, result: &Result{}, exec: true}
	if err := c.inputs(); err != nil {
		return nil, err
	}
	user := c.input(InputUser)
	program := "/proc/self/fd/" + strconv.Itoa(c.highest)
	c.input(InputProgram)
	c.b.At("default", "close what the caller left open")
	c.b.Do(plan.CloseRange{First: c.highest})
	c.b.At("default", "hide from the container")
	process.Hide(c.b)
	c.b.At("default", "join the container's user namespace")
	c.setns(user, unix.CLONE_NEWUSER)
	c.b.At("default", "become the container's root")
	process.SetGID(c.b, copied.GID)
	process.SetUID(c.b, copied.UID)
	c.b.At("default", "exec the copying program")
	c.b.Do(plan.CloseRange{First: 3, Flags: unix.CLOSE_RANGE_CLOEXEC})
	c.b.Do(plan.Execve{Path: program, Args: args})
	p, err := c.b.Build()
	c.result.Plan = p
	return c.result, err
}
