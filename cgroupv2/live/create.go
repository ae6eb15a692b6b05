package live

import (
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// accounting are the controllers that a container gets when they can be had,
// also without limits: stats and the word about an OOM come from them.
var accounting = []string{"cpu", "io", "memory", "pids"}

// Create makes the chosen cgroup, below a mount point: it evacuates our own
// processes where they are in the way, and gives the required controllers to
// it (see Dir.Create). made holds the absolute paths of the directories that
// did not exist before, outermost first: the undo list. Errors are *fault.Error.
func (t Tree) Create(c cgroupv2.Choice, mountPoint string, required []string) (leaf *Dir, made []string, err error) {
	base, err := t.Open(path.Join(mountPoint, c.Base))
	if err != nil {
		return nil, nil, err
	}
	defer base.Close()
	base.foreign = c.Foreign && (isUnit(c.Base) || c.Base == "/" && booted())
	if c.Evacuate != "" {
		if err := base.Evacuate(); err != nil {
			return nil, nil, err
		}
	}
	leaf, made, err = base.Create(strings.TrimPrefix(strings.TrimPrefix(c.Path, c.Base), "/"), required)
	for i := range made {
		made[i] = path.Join(base.path, made[i])
	}
	return leaf, made, err
}

// Missing lists the directories that Create would make, outermost first, as made
// has them.
func Missing(c cgroupv2.Choice, mountPoint string) (names []string) {
	for at := c.Path; at != c.Base && len(at) > 1; at = path.Dir(at) {
		if name := path.Join(mountPoint, at); unix.Access(name, unix.F_OK) == unix.ENOENT {
			names = append(names, name)
		}
	}
	slices.Reverse(names)
	return names
}

// booted is true when systemd runs the machine (sd_booted(3)).
func booted() bool {
	return unix.Access("/run/systemd/system", unix.F_OK) == nil
}

// Create makes the cgroup at a path relative to d, and on the way down gives
// each directory's children the required controllers and those of accounting
// that are to be had. It returns the open leaf and the relative paths of the
// directories that did not exist before, outermost first: the undo list.
//
// A required controller that the leaf does not have in the end is a *fault.Error
// that says which step refused it; whatever was made is removed again. The
// ancestors keep the controllers they were given.
func (d *Dir) Create(relative string, required []string) (leaf *Dir, made []string, err error) {
	at, err := d.Sub(".")
	if err != nil {
		return nil, nil, err
	}
	at.path, at.foreign = d.path, d.foreign
	var refused error
	walked := ""
	for _, name := range strings.Split(path.Clean(relative), "/") {
		if e := at.Enable(required); e != nil && at.foreign {
			at.Close()
			d.undo(made)
			return nil, nil, e
		} else if e != nil && refused == nil {
			// It may be on already, from above.
			refused = e
		}
		next, isNew, e := at.child(name)
		at.Close()
		if e != nil {
			d.undo(made)
			return nil, nil, e
		}
		at, walked = next, path.Join(walked, name)
		if isNew {
			made = append(made, walked)
		}
	}
	if err := at.lacks(required, refused); err != nil {
		at.Close()
		d.undo(made)
		return nil, nil, err
	}
	return at, made, nil
}

// Make makes a cgroup in d, or opens it if there is one, and gives it nothing. Errors are
// *fault.Error.
func (d *Dir) Make(name string) (*Dir, error) {
	child, _, err := d.child(name)
	return child, err
}

// child makes or opens one directory.
func (d *Dir) child(name string) (child *Dir, isNew bool, err error) {
	err = unix.Mkdirat(d.fd, name, 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, false, d.refused("create", name, err)
	}
	isNew = err == nil
	child, err = d.Sub(name)
	if err == nil {
		child.foreign = !isNew && isUnit(name)
	}
	return child, isNew, err
}

// undo removes what Create made; nothing runs there yet.
func (d *Dir) undo(made []string) {
	for _, relative := range slices.Backward(made) {
		_ = unix.Unlinkat(d.fd, relative, unix.AT_REMOVEDIR)
	}
}

// lacks checks that a new cgroup has its controllers.
func (d *Dir) lacks(required []string, refused error) error {
	if len(required) == 0 {
		return nil
	}
	have, err := d.Available()
	if err != nil {
		return err
	}
	for _, name := range required {
		if slices.Contains(have, name) {
			continue
		}
		if refused != nil {
			return refused
		}
		return d.unavailable(name)
	}
	return nil
}

func (d *Dir) unavailable(controller string) *fault.Error {
	e := d.because("use", "", "controller "+controller+" is not available here", 0)
	e.Hint = cgroupv2.Refusal{File: controller, Missing: true, Absent: d.absent(controller)}.Hint()
	return e
}

// Enable gives d's children the required controllers and those of accounting
// that d has (cgroup.subtree_control): all in one write, and one by one when
// the kernel refuses that. Only a required controller gives a *fault.Error: EBUSY
// when d has processes of its own, EACCES when d is not delegated.
//
// A foreign cgroup's controllers are left as they are: systemd takes away again
// what it did not turn on itself (seen within 10 ms for cpu in a slice), and the
// limits would vanish with it.
func (d *Dir) Enable(required []string) error {
	have, err := d.Available()
	if err != nil {
		return err
	}
	on, err := d.words("cgroup.subtree_control")
	if err != nil {
		return d.failed("read", "cgroup.subtree_control", err)
	}
	var missing []string
	for _, name := range slices.Concat(required, accounting) {
		if slices.Contains(have, name) && !slices.Contains(on, name) && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	if d.foreign {
		return d.borrow(required, have, on)
	}
	refused := d.enable(missing)
	for _, name := range required {
		if e := refused[name]; e != nil {
			return d.notEnabled(name, e)
		}
		if !slices.Contains(have, name) {
			return d.unavailable(name)
		}
	}
	return nil
}

// steady are the controllers that systemd keeps on everywhere, for accounting
// (DefaultMemoryAccounting=, DefaultTasksAccounting=). Another may be on in a
// slice because a unit needs it now, and go with that unit.
var steady = []string{"memory", "pids"}

func (d *Dir) borrow(required, have, on []string) error {
	_, err := d.read("cgroup.type")
	top := err != nil
	for _, name := range required {
		if slices.Contains(on, name) && (top || slices.Contains(steady, name)) {
			continue
		}
		if !cgroupv2.Managed(name) {
			if err := d.enableUnmanaged(name, have, on); err != nil {
				return err
			}
			continue
		}
		if d.absent(name) {
			return d.unavailable(name) // nor has systemd got it
		}
		e := d.because("use", "", "controller "+name+" is turned on and off here by the service manager, whose cgroup this is", 0)
		e.Hint = cgroupv2.HintForeign
		return e
	}
	return nil
}

// enableUnmanaged gives d's children a controller that systemd does not touch.
func (d *Dir) enableUnmanaged(name string, have, on []string) error {
	if !slices.Contains(have, name) {
		return d.unavailable(name)
	}
	if slices.Contains(on, name) {
		return nil
	}
	if err := d.enable([]string{name})[name]; err != nil {
		return d.notEnabled(name, err)
	}
	return nil
}

// enable looks for processes first. The kernel refuses "+memory" for a cgroup
// that has some (EBUSY), but takes "+pids" and "+cpu", which can work on
// threads: d then becomes the root of a threaded subtree, and its children
// "domain invalid", where no process can be (EOPNOTSUPP). The root of the whole
// tree, which has no cgroup.type, may have processes.
func (d *Dir) enable(names []string) map[string]error {
	if len(names) == 0 {
		return nil
	}
	refused := map[string]error{}
	if d.inhabited() {
		for _, name := range names {
			refused[name] = unix.EBUSY
		}
		return refused
	}
	if d.write("cgroup.subtree_control", "+"+strings.Join(names, " +")) == nil {
		return nil
	}
	for _, name := range names {
		if err := d.write("cgroup.subtree_control", "+"+name); err != nil {
			refused[name] = err
		}
	}
	return refused
}

func (d *Dir) inhabited() bool {
	words, err := d.words("cgroup.procs")
	if err != nil || len(words) == 0 {
		return false
	}
	_, err = d.read("cgroup.type")
	return err == nil
}

func (d *Dir) notEnabled(controller string, err error) *fault.Error {
	e := d.refused(writing("+"+controller), "cgroup.subtree_control", err)
	if e.Errno == unix.EBUSY {
		e.Why = why("has processes of its own", e.Errno)
	}
	return e
}

// Evacuate moves every process of d into its child cgroupv2.EvacuationLeaf, which it
// makes, so that d can give controllers to its children. It is meant for our
// own delegated cgroup, whose processes are all our unit's. A process that
// forks meanwhile is caught by the next of ten passes; then EBUSY says so.
// Zombies do not count. Errors are *fault.Error.
func (d *Dir) Evacuate() error {
	leaf, _, err := d.child(cgroupv2.EvacuationLeaf)
	if err != nil {
		return err
	}
	defer leaf.Close()
	for range 10 {
		pids, err := d.pids("cgroup.procs")
		if err != nil {
			return d.failed("read", "cgroup.procs", err)
		}
		if len(pids) == 0 {
			return nil
		}
		if err := leaf.adopt(pids); err != nil {
			return err
		}
	}
	return d.because("evacuate", "", "processes keep appearing", unix.EBUSY)
}

func (d *Dir) adopt(pids []int) error {
	for _, pid := range pids {
		if err := d.Attach(pid); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// Attach moves a process into d; 0 is the caller itself. It waits for an RCU
// grace period (11 to 17 ms on an idle machine): CLONE_INTO_CGROUP with FD does
// not. Errors are *fault.Error; ESRCH when the process is gone.
func (d *Dir) Attach(pid int) error {
	if err := d.write("cgroup.procs", strconv.Itoa(pid)); err != nil {
		return d.refused(writing(strconv.Itoa(pid)), "cgroup.procs", err)
	}
	return nil
}

// delegable is the kernel's list (/sys/kernel/cgroup/delegate, Linux 4.15) for
// hosts where /sys is not to be had.
const delegable = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\nmemory.oom.group\nmemory.reclaim"

// Delegate hands d to a container's root user: the directory and the files
// that the kernel lists as delegable, no other (a limit must stay ours). It
// does nothing where uid and gid own the directory already, which is the rule
// without root. Errors are *fault.Error.
func (d *Dir) Delegate(uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err == nil && int(st.Uid) == uid && int(st.Gid) == gid {
		return nil
	}
	list := delegable
	if content, err := os.ReadFile("/sys/kernel/cgroup/delegate"); err == nil {
		list = string(content)
	}
	for _, name := range strings.Fields(list) {
		err := unix.Fchownat(d.fd, path.Base(name), uid, gid, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return d.failed("delegate", name, err)
		}
	}
	if err := unix.Fchown(d.fd, uid, gid); err != nil {
		return d.failed("delegate", "", err)
	}
	return nil
}
