package container

import (
	"fmt"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// Who joins init joins the namespaces that init is in by then. Any program may make
// a user namespace, and in it a mount namespace: who did that, though nobody in the
// container, would rule what a process of exec's, perhaps root's, finds there, and
// would be root over it. So init is joined only in the user namespace that it was
// started in. It cannot come back from another one: user_namespaces(7).

// recordNamespaces records in which user namespace init is. One that is joined by its
// path was recorded when it was opened; any other is new, also where config.json does not
// ask for it.
func (c *Container) recordNamespaces() error {
	if c.State.Users != nil {
		return nil
	}
	own, err := recorded(proc.UserNamespace, "user")
	c.State.Users = &store.Users{Inode: own, Above: c.State.Namespaces&unix.CLONE_NEWUSER != 0}
	return err
}

// recorded is the number of a namespace, for the record. It is 0, which is not compared with any, only where the kernel has
// no such file: else who covers it would have a container taken for one of another namespace.
func recorded(number func() (uint64, error), kind string) (uint64, error) {
	own, err := number()
	if err != nil && err != unix.ENOENT {
		return 0, proc.Unreadable("", kind, err)
	}
	return own, nil
}

// recordUsers records the user namespace of a descriptor as that of init.
func (c *Container) recordUsers(fd int) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil {
		c.State.Users = &store.Users{Inode: st.Ino}
	}
}

// joinable refuses an init that is not in the container's user namespace any more.
// Where that cannot be seen the kernel does not let it be joined either.
func (c *Container) joinable() error {
	users := c.State.Users
	if users == nil || users.Inode == 0 {
		return nil
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/user", c.State.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { unix.Close(fd) }()
	if users.Above {
		above, err := unix.IoctlRetInt(fd, unix.NS_GET_PARENT)
		if err != nil {
			return nil
		}
		unix.Close(fd)
		fd = above
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("look at init's user namespace: %w", err)
	}
	if st.Ino != users.Inode {
		return errMoved
	}
	return nil
}

// errMoved says that init has left the container's user namespace.
var errMoved = &fault.Error{Why: "init has left the container's user namespace for one of its own, and would rule what is started there",
	Hint: "the container's program has to make a user namespace (as unshare -U does) in a child, not in itself"}
