// Package proc knows processes of the host by their number and their start
// time, and by pidfds: which one it is, whether it lives, how it ended.
//
// The kernel gives a number again once its process was waited for. With the
// start time it names one process for as long as the host runs, and a pidfd
// that was opened before the start time is compared stays that process's:
// pidfd_open(2). All functions may be called at once by several goroutines.
package proc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// ErrEnded is for a process that has ended: a zombie, or one that was waited
// for, whose number nobody or another one has.
var ErrEnded = errors.New("the process has ended")

// errStat is for a /proc/PID/stat that is not as proc_pid_stat(5) has it.
var errStat = errors.New("unreadable process state")

// ID names a process for as long as the host runs. Its JSON form is part of
// state.json.
type ID struct {
	// Pid is its number in this process's PID namespace.
	Pid int `json:"pid"`
	// StartTime is its start in clock ticks since boot: field 22 of
	// /proc/PID/stat, proc_pid_stat(5), as the first time namespace sees it.
	StartTime uint64 `json:"startTime"`
}

// Of names the process that has the number now. It may be a zombie. An error is
// an errno where there is no such process, and ErrHidden where it cannot be seen.
func Of(pid int) (ID, error) {
	now, err := stat(pid)
	if err != nil {
		return ID{Pid: pid}, unseen(pid, err)
	}
	shift, err := startShift()
	return ID{pid, now.start - shift}, err
}

// Alive reports whether the process is known to exist, to be the same, and to be
// no zombie. One whose first thread has ended lives while another one does.
func (p ID) Alive() bool {
	lives, err := p.Lives()
	return err == nil && lives
}

// Lives is Alive, and an error where that cannot be seen, for lack of descriptors
// say: then the process may well live, and is not to be taken for one that has
// ended.
func (p ID) Lives() (bool, error) {
	if unix.Kill(p.Pid, 0) == unix.ESRCH { // takes less than looking for it in /proc
		return false, nil
	}
	now, err := stat(p.Pid)
	if err == unix.ENOENT && unix.Kill(p.Pid, 0) != unix.ESRCH {
		// A new process has the number just now, or /proc is not that of processes.
		now, err = stat(p.Pid)
	}
	switch {
	case err == unix.ESRCH, err == unix.ENOENT && unix.Kill(p.Pid, 0) == unix.ESRCH:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("see whether process %d lives: /proc/%d/stat: %w", p.Pid, p.Pid, unseen(p.Pid, err))
	}
	if now.lives() && now.start != p.StartTime {
		shift, err := startShift()
		return sameStart(now.start-shift, p.StartTime), err
	}
	return now.lives(), nil
}

// Ending reports whether the process is not Alive, or is about to end: its memory, files
// and mounts are taken down before it is a zombie, and no cgroup takes it any more.
func (p ID) Ending() bool {
	now, err := stat(p.Pid)
	return err == nil && now.exits && now.threads < 2 || !p.Alive()
}

// ErrHidden is for a process that lives and that proc(5) does not show.
var ErrHidden = errors.New("the process is hidden")

// unseen is the error of a look at a process, or ErrHidden. With the mount option hidepid
// who may not trace a process does not see it, and nobody but root may trace one that has
// changed its ids, or has hidden itself, and has run no program since: ptrace(2).
func unseen(pid int, err error) error {
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPERM) || unix.Kill(pid, 0) == unix.ESRCH {
		return err
	}
	return &fault.Error{What: fmt.Sprintf("process %d lives, and /proc does not show it", pid), Cause: ErrHidden,
		Why: "/proc is mounted with hidepid, or is no proc(5)",
		Hint: "see findmnt /proc: have root mount it without that (mount -o remount,hidepid=0 /proc), or with gid= and the number of a " +
			"group that you are in"}
}

// Open opens the process as a pidfd, which is close-on-exec and the caller's. An
// error is ErrEnded, an errno, or that of Lives.
func (p ID) Open() (pidfd int, err error) {
	if p.Pid < 1 {
		return -1, ErrEnded
	}
	pidfd, err = unix.PidfdOpen(p.Pid, 0)
	switch err {
	case nil:
	case unix.ESRCH, unix.EINVAL, unix.ENOENT: // the last two: the number is a thread's now
		return -1, ErrEnded
	default:
		return -1, err
	}
	lives, err := p.Lives()
	if err == nil && !lives {
		err = ErrEnded
	}
	if err != nil {
		unix.Close(pidfd)
		return -1, err
	}
	return pidfd, nil
}

// Innermost is a process's number in the innermost of its PID namespaces, or 0
// when it has ended: proc_pid_status(5), NSpid.
func Innermost(pid int) int { return innermost(Status(pid)) }

// innermost reads a text like /proc/PID/status; 0 where it does not tell.
func innermost(text string) int {
	fields := strings.Fields(line(text, "NSpid"))
	if len(fields) == 0 {
		return 0
	}
	return decimal(fields[len(fields)-1])
}

// Parent is a process's parent, or 0 when it has ended, or has none that can be seen from
// here: proc_pid_status(5), PPid.
func Parent(pid int) int { return decimal(line(Status(pid), "PPid")) }

// Status is /proc/PID/status: proc_pid_status(5). It is empty where that cannot be read.
func Status(pid int) string { return file(pid, "status") }

// decimal is 0 for what is no number.
func decimal(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// file is a file of a process in /proc; empty where it cannot be read.
func file(pid int, name string) string {
	text, err := bundle.ReadRegular("/proc/" + strconv.Itoa(pid) + "/" + name)
	if err != nil {
		return ""
	}
	return string(text)
}

// line is what stands after a name in a text like /proc/PID/status; empty without it.
func line(text, name string) string {
	_, rest, _ := strings.Cut(text, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}

// PIDNamespace is the number of this process's PID namespace, in which the numbers
// of an ID are. The kernel gives it again when that namespace and its processes have
// ended. An error is an errno.
func PIDNamespace() (uint64, error) { return ownNamespace("pid") }

// UserNamespace is the number of this process's user namespace. An error is an errno.
func UserNamespace() (uint64, error) { return ownNamespace("user") }

// Unreadable is the *fault.Error for a namespace of this process whose number cannot be read;
// what, if it is not empty, says what that was for.
func Unreadable(what, kind string, err error) error {
	e := &fault.Error{What: what + "look at /proc/self/ns/" + kind, Why: err.Error(), Cause: err,
		Hint: "homerun needs the proc of its own PID namespace on /proc, and nothing mounted on this file: see findmnt -R /proc"}
	if errors.Is(err, unix.EINVAL) {
		e.Why = "it is no link to a namespace, but what is mounted on one: " + e.Why
	}
	return e
}

// ownNamespace reads the number in the text of the link: namespaces(7). To follow the link takes twice as long: the kernel
// makes an inode then.
func ownNamespace(kind string) (uint64, error) {
	var text [64]byte
	n, err := unix.Readlink("/proc/self/ns/"+kind, text[:])
	if err != nil {
		return 0, err
	}
	return namespaceNumber(kind, string(text[:n]))
}

// namespaceNumber reads a text like "user:[4026531837]".
func namespaceNumber(kind, text string) (uint64, error) {
	number, named := strings.CutPrefix(text, kind+":[")
	number, whole := strings.CutSuffix(number, "]")
	inode, err := strconv.ParseUint(number, 10, 64)
	if err != nil || !named || !whole || inode == 0 {
		return 0, unix.EINVAL // as where the kernel finds no link: something else is mounted there
	}
	return inode, nil
}

// startShift is what this process's time namespace adds to the start times that /proc
// shows, in clock ticks: time_namespaces(7). It is 0 in the first one, whose number is
// fixed (PROC_TIME_INIT_INO of linux/proc_ns.h), and before Linux 5.6. The number only
// spares the look at the offsets: where something else is mounted on it they tell.
func startShift() (uint64, error) {
	if own, err := ownNamespace("time"); err == unix.ENOENT || err == nil && own == 0xEFFFFFFA {
		return 0, nil
	}
	text, err := bundle.ReadRegular("/proc/self/timens_offsets")
	if err != nil {
		return 0, fmt.Errorf("read /proc/self/timens_offsets: %w", err)
	}
	return bootShift(string(text))
}

// sameStart reports whether start times may be those of one process. A time namespace whose
// shift is no whole number of ticks, as one that was restored from a checkpoint, rounds
// some of them to the next tick. No number is given again in so short a time.
func sameStart(a, b uint64) bool { return a-b+1 <= 2 }

// ticks are those of a second in /proc: USER_HZ.
const ticks = 100

// bootShift reads a text like /proc/PID/timens_offsets. The shift of a clock that was
// set back is a large number, whose subtraction adds.
func bootShift(text string) (uint64, error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "boottime" && f[0] != "7" {
			continue
		}
		seconds, err := strconv.ParseInt(f[1], 10, 64)
		nanoseconds, errNano := strconv.ParseInt(f[2], 10, 64)
		if err == nil && errNano == nil {
			return uint64(seconds*ticks + nanoseconds/(1e9/ticks)), nil
		}
	}
	return 0, errors.New("unreadable /proc/self/timens_offsets")
}

// InInitialUserNamespace reports whether this process is in the first user
// namespace of the host, whose number is fixed: PROC_USER_INIT_INO of
// linux/proc_ns.h.
func InInitialUserNamespace() bool {
	own, err := UserNamespace()
	return err == nil && own == 0xEFFFFFFD
}

// statSize is more than the first 22 fields of /proc/PID/stat can have.
const statSize = 1024

// status is what /proc/PID/stat says of a process.
type status struct {
	// state is that of its first thread.
	state byte
	// threads counts those that are left, with the first one, which is a zombie
	// until all others have ended.
	threads uint64
	start   uint64
	// exits: its first thread is in the kernel's do_exit().
	exits bool
}

// pfExiting is PF_EXITING of linux/sched.h, in field 9.
const pfExiting = 0x4

// lives reports whether a thread of the process is no zombie.
func (s status) lives() bool { return s.state != 'X' && (s.state != 'Z' || s.threads > 1) }

// stat reads a process's status from /proc/PID/stat. It calls the kernel itself,
// because an os.File would set up the network poller.
func stat(pid int) (status, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return status{}, err
	}
	defer unix.Close(fd)
	var text [statSize]byte
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return status{}, err
	}
	return parseStat(text[:n])
}

// parseStat finds the fields after the second one, which may hold any
// character: proc_pid_stat(5).
func parseStat(text []byte) (s status, err error) {
	end := len(text) - 1
	for end >= 0 && text[end] != ')' {
		end--
	}
	field, begin := 2, 0
	for i := end + 1; end >= 0 && i <= len(text); i++ {
		if i < len(text) && text[i] != ' ' && text[i] != '\n' {
			continue
		}
		switch {
		case field == 3 && i > begin:
			s.state = text[begin]
		case field == 9:
			flags, _ := strconv.ParseUint(string(text[begin:i]), 10, 64)
			s.exits = flags&pfExiting != 0
		case field == 20:
			s.threads, err = strconv.ParseUint(string(text[begin:i]), 10, 64)
		case field == 22 && err == nil:
			s.start, err = strconv.ParseUint(string(text[begin:i]), 10, 64)
			return s, err
		}
		field, begin = field+1, i+1
	}
	return status{}, errStat
}

// Stopped reports whether a process has been stopped by a signal, ^Z say. One that is
// traced is not, though it stands still at each system call: strace(1).
func Stopped(pid int) bool {
	s, err := stat(pid)
	return err == nil && s.state == 'T'
}
