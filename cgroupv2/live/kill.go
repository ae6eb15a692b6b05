package live

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Freezing ends in a state that cgroup.events reports; the kernel notifies pollers
// of that file with POLLPRI. A poll may miss nothing because the file is read again
// after each wake-up and before the first wait. Such a wait also ends with its
// context, and wakes up at least each pollInterval: older kernels lose a notification
// when the cgroup is removed. The ends of processes are waited for by the processes
// themselves, awaitEmpty says why, and what somebody else does to a cgroup by
// inotify: becomes.
const pollInterval = 100 * time.Millisecond

// await reads cgroup.events until key has the value want.
func (d *Dir) await(ctx context.Context, key string, want uint64) error {
	fd, err := d.open("cgroup.events", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		buf := make([]byte, 256)
		n, err := unix.Pread(fd, buf, 0)
		if err != nil && err != unix.EINTR {
			return err
		}
		if v, ok := cgroupv2.ParseFields(string(buf[:max(n, 0)]))[key]; ok && v == want {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, pollTimeout(ctx))
		if err != nil && err != unix.EINTR {
			return err
		}
	}
}

// Vanishes waits for somebody else to remove the cgroup, for so long at most, and
// reports whether that has happened.
func (d *Dir) Vanishes(ctx context.Context, limit time.Duration) bool {
	return proc.Becomes(ctx, limit, d.vanished, proc.Watch{Path: path.Dir(d.path), Events: unix.IN_DELETE})
}

// BecomesAvailable waits for somebody else to let d's children have controllers, for so
// long at most, and reports whether they may. Nothing tells of a change of
// cgroup.controllers, but inotify does of what is written to the file that it follows.
func (d *Dir) BecomesAvailable(ctx context.Context, controllers []string, limit time.Duration) bool {
	return proc.Becomes(ctx, limit, func() bool {
		have, err := d.Available()
		return err != nil || !slices.ContainsFunc(controllers, func(name string) bool { return !slices.Contains(have, name) })
	}, proc.Watch{Path: path.Dir(d.path) + "/cgroup.subtree_control", Events: unix.IN_MODIFY})
}

// vanished reports whether the cgroup's name means it no more.
func (d *Dir) vanished() bool {
	var st unix.Stat_t
	return unix.Stat(d.path, &st) != nil || st.Ino != d.ID()
}

// pollTimeout is in milliseconds.
func pollTimeout(ctx context.Context) int {
	wait := pollInterval
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, max(time.Until(deadline), 0))
	}
	return int(wait.Milliseconds()) + 1
}

// Freeze stops every process of the cgroup and its children and waits until
// all of them stand. When ctx ends first they are thawed again. Errors are
// *fault.Error; ENOENT on a root cgroup, which cannot freeze.
func (d *Dir) Freeze(ctx context.Context) error {
	if err := d.write("cgroup.freeze", "1"); err != nil {
		return d.failed("write", "cgroup.freeze", err)
	}
	if err := d.await(ctx, "frozen", 1); err != nil {
		_ = d.write("cgroup.freeze", "0")
		return d.failed("freeze", "", fmt.Errorf("a process does not stop: %w", err))
	}
	return nil
}

// Thaw lets the processes run again; it does not wait, since a parent may hold
// them frozen.
func (d *Dir) Thaw() error {
	if err := d.write("cgroup.freeze", "0"); err != nil && !gone(err) {
		return d.failed("write", "cgroup.freeze", err)
	}
	return nil
}

// Frozen reports whether the cgroup stands frozen, by itself or by a parent. A
// cgroup without a freezer, or one that is gone, is not frozen.
func (d *Dir) Frozen() bool {
	values, err := d.fields("cgroup.events")
	return err == nil && values["frozen"] == 1
}

// Freezes reports whether what runs in the cgroup stands still, or is about to:
// it or one above it is frozen. Frozen says so only once every process stands,
// and the kernel lets a process that was just moved here run for a moment.
func (d *Dir) Freezes() bool {
	for at := d.path; ; at = path.Dir(at) {
		fd, err := unix.Open(at+"/cgroup.freeze", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			// The root of the tree, or of what the caller's cgroup namespace
			// shows of it, has no such file.
			return d.Frozen()
		}
		var text [1]byte
		_, err = unix.Pread(fd, text[:], 0)
		unix.Close(fd)
		if err == nil && text[0] == '1' {
			return true
		}
	}
}

// AwaitFrozen waits until the cgroup stands frozen, by itself or by a parent,
// or until other, a descriptor of the caller's, is ready to be read; frozen says
// which. Errors are *fault.Error, or those of ctx.
func (d *Dir) AwaitFrozen(ctx context.Context, other int) (frozen bool, err error) {
	events, err := d.open("cgroup.events", unix.O_RDONLY)
	if err != nil {
		return false, d.failed("read", "cgroup.events", err)
	}
	defer unix.Close(events)
	fds := [2]unix.PollFd{{Fd: int32(other), Events: unix.POLLIN}, {Fd: int32(events), Events: unix.POLLPRI}}
	for ctx.Err() == nil {
		text := make([]byte, 256)
		n, err := unix.Pread(events, text, 0)
		if err != nil && err != unix.EINTR {
			return false, d.failed("read", "cgroup.events", err)
		}
		if cgroupv2.ParseFields(string(text[:max(n, 0)]))["frozen"] == 1 {
			return true, nil
		}
		if _, err = unix.Poll(fds[:], pollTimeout(ctx)); err != nil && err != unix.EINTR {
			return false, d.failed("wait for", "cgroup.events", err)
		}
		if fds[0].Revents != 0 {
			return false, nil
		}
	}
	return false, ctx.Err()
}

// Populated reports whether a live process is in the cgroup or below. One that
// is gone is not populated.
func (d *Dir) Populated() bool {
	values, err := d.fields("cgroup.events")
	return err == nil && values["populated"] != 0
}

// Kill sends SIGKILL to every process of the cgroup and its children, also
// frozen ones, and waits until none is left (zombies do not count).
// cgroup.kill (Linux 5.14) does it at once; where it is missing or refused
// (threaded cgroups: EOPNOTSUPP) the cgroup is frozen, signalled and thawed
// until it is empty, which a fork bomb cannot outrun. Errors are *fault.Error; a
// cgroup that is gone is none.
func (d *Dir) Kill(ctx context.Context) error {
	err := d.write("cgroup.kill", "1")
	switch {
	case err == nil:
		err = d.awaitEmpty(ctx)
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP):
		err = d.killByHand(ctx)
	}
	if err == nil || gone(err) {
		return nil
	}
	return d.failed("kill", "", fmt.Errorf("%w%s", err, d.survivors()))
}

func (d *Dir) killByHand(ctx context.Context) error {
	for d.Populated() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := d.Signal(ctx, unix.SIGKILL); err != nil {
			return err
		}
		d.awaitEnds(ctx)
	}
	return nil
}

// awaitEmpty waits until no process is left. Who polls cgroup.events hears of that up
// to 10 ms later, by cgroup_file_notify, and never if somebody else has removed the
// cgroup by then, as systemd does. So the processes themselves are waited for.
func (d *Dir) awaitEmpty(ctx context.Context) error {
	for d.Populated() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.awaitEnds(ctx)
	}
	return nil
}

// awaitEnds waits for the end of each process that there is, for pollInterval at most:
// its id may be another's by now. Those that have no id here the kernel tells of.
func (d *Dir) awaitEnds(ctx context.Context) {
	pids, _ := d.Processes()
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			_, _ = proc.AwaitEnd(ctx, fd, pollInterval)
			unix.Close(fd)
		}
	}
	if len(pids) == 0 {
		short, cancel := context.WithTimeout(ctx, pollInterval)
		defer cancel()
		_ = d.await(short, "populated", 0)
	}
}

// survivors names processes that are left, for an error.
func (d *Dir) survivors() string {
	pids, _ := d.Processes()
	if len(pids) == 0 {
		return ""
	}
	return fmt.Sprintf(", left: %s", strings.Trim(fmt.Sprint(pids[:min(len(pids), 8)]), "[]"))
}

// Signal sends a signal to every process of the cgroup and its children. They
// are frozen meanwhile, so that none escapes by a fork. A cgroup that was frozen
// before stays so. Errors are *fault.Error.
func (d *Dir) Signal(ctx context.Context, signal unix.Signal) error {
	if !d.Frozen() {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		// Without a freezer the signal goes out all the same.
		_ = d.Freeze(short)
		defer d.Thaw()
	}
	pids, err := d.Processes()
	if err != nil {
		return err
	}
	for some := range slices.Chunk(pids, mostSignalled) {
		if err := d.signal(some, signal); err != nil {
			return err
		}
	}
	return nil
}

// mostSignalled is how many processes are open at a time.
const mostSignalled = 256

// signal sends a signal to those that are still in the cgroup when each has been
// opened as a pidfd: where the freezer does not stop all, as one that waits for a
// file system of the container's own, a number can be a stranger's by now.
func (d *Dir) signal(pids []int, signal unix.Signal) error {
	open := make(map[int]int, len(pids))
	defer func() {
		for _, pidfd := range open {
			unix.Close(pidfd)
		}
	}()
	for _, pid := range pids {
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err == nil {
			open[pid] = pidfd
		} else if err != unix.ESRCH && err != unix.EINVAL && err != unix.ENOENT { // the last two: it is a thread's by now
			return d.failed("signal", strconv.Itoa(pid), err)
		}
	}
	still, err := d.Processes()
	if err != nil {
		return err
	}
	for _, pid := range still {
		pidfd, ours := open[pid]
		if !ours {
			continue
		}
		if err := unix.PidfdSendSignal(pidfd, signal, nil, 0); err != nil && err != unix.ESRCH {
			return d.failed("signal", strconv.Itoa(pid), err)
		}
	}
	return nil
}

// Processes lists the pids, in the caller's pid namespace, of all processes in
// the cgroup and its children, sorted, each once. Processes of namespaces that
// the caller cannot see (pid 0) are left out. Errors are *fault.Error; a cgroup that
// is gone has none.
func (d *Dir) Processes() ([]int, error) {
	var pids []int
	err := d.walk(func(at *Dir) error {
		more, err := at.pids("cgroup.procs")
		if errors.Is(err, unix.EOPNOTSUPP) {
			// A threaded cgroup: its parents list the processes.
			return nil
		}
		pids = append(pids, more...)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

func (d *Dir) pids(file string) ([]int, error) {
	names, err := d.words(file)
	var pids []int
	for _, name := range names {
		if pid, e := strconv.Atoi(name); e == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// walk visits children before their parents. A cgroup that vanishes on the
// way is passed over.
func (d *Dir) walk(visit func(*Dir) error) error {
	names, err := d.children()
	for _, name := range names {
		child, e := d.Sub(name)
		if gone(e) {
			continue
		}
		if e != nil {
			return e
		}
		e = child.walk(visit)
		child.Close()
		if e != nil {
			return e
		}
	}
	if err == nil {
		err = visit(d)
	}
	if err == nil || gone(err) {
		return nil
	}
	var typed *fault.Error
	if errors.As(err, &typed) {
		return err
	}
	return d.failed("read", "", err)
}

// children names the directories in d.
func (d *Dir) children() ([]string, error) {
	names, err := d.names()
	return d.directories(names), err
}

// names lists d. The descriptor is opened anew: d.fd's own position would be
// shared with other callers.
func (d *Dir) names() ([]string, error) {
	fd, err := d.open(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var names []string
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n <= 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// directories: a cgroup's files all have a dot after the controller's name; a
// cgroup may have one too, so fstatat decides.
func (d *Dir) directories(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		var st unix.Stat_t
		err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		return err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR
	})
}

// Delete removes the cgroup and its children. Processes in it are killed, and waited
// for. It is tried again, ever more slowly, until ctx ends; then the *fault.Error names
// who is left. A cgroup that is gone already is no error. d must still be closed.
func (d *Dir) Delete(ctx context.Context) error {
	for wait := time.Duration(0); ; wait = min(2*wait+time.Millisecond, pollInterval) {
		err := d.walk((*Dir).remove)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || ctx.Err() != nil {
			e := d.failed("delete", "", err)
			e.Why = why(strings.TrimPrefix(d.survivors(), ", "), e.Errno)
			return e
		}
		// What is empty can be removed, so the first time nothing else is waited for.
		_ = d.Kill(ctx)
		sleep(ctx, wait)
	}
}

// RemoveEmpty removes the cgroup if nothing is in it, and kills nobody. A process
// that is about to end is waited for until ctx ends; a cgroup below is somebody
// else's at once. That it stays is no error.
func (d *Dir) RemoveEmpty(ctx context.Context) error {
	err := d.remove()
	if names, _ := d.children(); errors.Is(err, unix.EBUSY) && len(names) == 0 {
		_ = d.awaitEmpty(ctx)
		err = d.remove()
	}
	if err == nil || gone(err) || errors.Is(err, unix.EBUSY) {
		return nil
	}
	return d.failed("delete", "", err)
}

// sleep is for what has no event: who may not be killed, a mount on the cgroup, and
// somebody who makes cgroups or processes in it again and again.
func sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// remove removes one directory by its name in its parent, if that name still
// means d.
func (d *Dir) remove() error {
	parent, err := unix.Openat(d.fd, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	name := path.Base(d.path)
	var own, named unix.Stat_t
	if err := unix.Fstat(d.fd, &own); err != nil {
		return err
	}
	if err := unix.Fstatat(parent, name, &named, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if own.Dev != named.Dev || own.Ino != named.Ino {
		return unix.ENOENT
	}
	return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
}
