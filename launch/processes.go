package launch

import (
	"fmt"
	"strconv"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/stage"
	"golang.org/x/sys/unix"
)

// start starts the first process.
func (l *Launch) start(name string) error {
	if err := ownProc(); err != nil {
		return err
	}
	var report, sync [2]int
	if err := unix.Pipe2(report[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer unix.Close(report[1])
	l.report = report[0]
	if err := unix.Pipe2(sync[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer unix.Close(sync[0])
	if l.Rest != nil {
		fd, err := stage.NewRest()
		if err != nil {
			unix.Close(sync[1])
			return err
		}
		l.SetInput(compile.InputRest, fd)
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	l.sync = sync[1]
	files, err := l.files(report[1], sync[0])
	if err != nil {
		return err
	}
	l.stage, err = stage.Start(stage.Config{Plan: l.Result.Plan, Files: files, Name: name, Directories: l.Directories,
		OpenFiles: l.OpenFiles})
	if err != nil {
		return err
	}
	l.first = l.stage.PID
	l.firstFD, _ = unix.PidfdOpen(l.first, 0) // our child; without descriptors its end is not watched
	return nil
}

// files lists what the stage gets as 0, 1, 2, and so on.
func (l *Launch) files(report, sync int) ([]uintptr, error) {
	var files []uintptr
	for _, fd := range l.Stdio {
		files = append(files, uintptr(fd))
	}
	for i := range l.Result.Plan.Preserved {
		fd := -1
		if i < len(l.Files) {
			fd = l.Files[i]
		}
		files = append(files, uintptr(fd))
	}
	for _, in := range l.Result.Plan.Inputs() {
		fd, ok := l.inputs[in.Name]
		switch {
		case in.Name == compile.InputReport:
			fd = report
		case in.Name == compile.InputSync:
			fd = sync
		case !ok:
			return nil, fmt.Errorf("BUG: the plan's input %s is not there", in.Name)
		}
		files = append(files, uintptr(fd))
	}
	return files, nil
}

// kill ends the processes of the stage that are known. Our children are not reaped
// yet, so their ids are still theirs. A first process that stays ends with init,
// and says how that did.
func (l *Launch) kill() {
	if l.pidfd >= 0 {
		_ = unix.PidfdSendSignal(l.pidfd, unix.SIGKILL, nil, 0)
	} else if l.init > 0 && !l.stays {
		unix.Kill(l.init, unix.SIGKILL)
	}
	if l.first > 0 && !l.reaped && !(l.stays && l.pidfd >= 0) {
		unix.Kill(l.first, unix.SIGKILL)
	}
}

// reapAll waits for the processes of the stage. The status is init's, or if
// there never was an init the first process's.
func (l *Launch) reapAll() unix.WaitStatus {
	var status unix.WaitStatus
	if !l.reaped {
		status = l.reap(l.first)
		l.reaped = true
	}
	// An init that is not our child is not waited for, unless who made it was killed
	// and we take orphans.
	if s := l.reap(l.init); l.init > 0 && !l.stays {
		status = s
	}
	return status
}

// reapFirst waits for the first process, which exits once init is made; unless it
// stays, attends to init, or waits beside a created one for its seccomp listener.
func (l *Launch) reapFirst() {
	if l.stays || l.first == 0 || l.Result.Attended || l.Result.Listens && l.waits {
		return
	}
	l.reap(l.first)
	l.reaped = true
}

func (l *Launch) reap(pid int) unix.WaitStatus {
	var status unix.WaitStatus
	for pid > 0 {
		if _, err := unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
			break
		}
	}
	return status
}

// ownProc refuses a /proc of another PID namespace, as after `unshare --pid`
// without --mount-proc. There the number of a process of ours is somebody
// else's: user id maps would be written for them (newuidmap takes a number too),
// and their start time recorded. A /proc in which this process is not seen at
// all is missed when the host is measured.
func ownProc() error {
	var buf [16]byte
	n, err := unix.Readlink("/proc/self", buf[:])
	if err != nil {
		return nil
	}
	return checkProc(string(buf[:n]), unix.Getpid())
}

// checkProc refuses a /proc that has this process as seen.
func checkProc(seen string, pid int) error {
	if seen == strconv.Itoa(pid) {
		return nil
	}
	return &fault.Error{What: "/proc belongs to another PID namespace",
		Why:  fmt.Sprintf("it has this process as %s, which calls itself %d", seen, pid),
		Hint: "mount a /proc of this PID namespace: unshare --mount-proc, bwrap --proc /proc"}
}
