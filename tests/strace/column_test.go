package strace

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// event is a call of the runtime, or one of a process that it started.
type event struct {
	// text is the call with paths in place of descriptors: names that count from
	// a directory are whole, and write(5</a/b>, ...) is write(</a/b>, ...).
	text string
	// changes: it changes something outside of the process, so a line of the
	// column must have asked for it.
	changes bool
}

// runtimeEvents are the calls of the runtime that succeeded, on whichever of its
// threads; what it executed, and what that executed; and where its helpers and hooks went
// (setns). The processes of the container, the first of which is the stage's, are
// followed elsewhere: of them only the start is the runtime's doing. So it is of the
// network's helper, which works beside the runtime's next steps. What a process executes
// first stands beside its making: the runtime does not wait for that (package spawn).
func runtimeEvents(calls []call, container []int) []event {
	f := newFamily(calls)
	executed := map[int]bool{}
	first := map[int]event{}
	for _, c := range calls {
		if _, ok := first[c.pid]; !ok && strings.HasPrefix(c.text, "execve(") && !strings.HasPrefix(c.result, "-1 ") {
			first[c.pid] = event{resolve("execve", c.whole), true}
		}
	}
	var events []event
	for _, c := range calls {
		name, _, _ := strings.Cut(c.text, "(")
		if strings.HasPrefix(c.result, "-1 ") || f.isBelowHelper(c.pid) {
			continue
		}
		switch own, inside := f.isRuntime(c.pid), slices.Contains(container, c.pid); {
		case own && c.pid == calls[0].pid && name == "execve": // homerun itself
		case own:
			for _, text := range busCalls(resolve(name, c.whole)) {
				events = append(events, event{text, changes(name, text, c)})
			}
			if e, ok := first[c.value()]; ok && strings.HasPrefix(name, "clone") {
				events = append(events, e)
			}
		case name == "execve" && !executed[c.pid] && f.isRuntime(f.parent[c.pid]): // stands beside the making
		case !inside && name == "execve",
			!inside && name == "setns" && executed[c.pid]:
			events = append(events, event{resolve(name, c.whole), true})
		}
		executed[c.pid] = executed[c.pid] || name == "execve"
	}
	return events
}

// family knows which threads are the runtime's, and which processes the network's
// helper's.
type family struct {
	runtime, helper int
	leader          map[int]int // of a thread
	parent          map[int]int // or who made the thread
}

func newFamily(calls []call) family {
	f := family{calls[0].pid, 0, map[int]int{}, map[int]int{}}
	for _, c := range calls {
		switch {
		case strings.HasPrefix(c.text, "clone"):
			f.parent[c.value()] = c.pid
			if strings.Contains(c.text, "CLONE_THREAD") {
				f.leader[c.value()] = c.pid
			}
		case runsHelper.MatchString(c.text):
			f.helper = c.pid
		}
	}
	return f
}

var runsHelper = regexp.MustCompile(`^execve\("[^"]*/homerun-net", \["homerun-net"\], \[\]\)`)

// isBelowHelper reports whether a thread is of the helper, but its first, or of a
// process that the helper has started.
func (f family) isBelowHelper(pid int) bool {
	for f.helper != 0 && pid != 0 {
		if pid = f.parent[pid]; pid == f.helper {
			return true
		}
	}
	return false
}

func (f family) isRuntime(pid int) bool {
	for f.leader[pid] != 0 {
		pid = f.leader[pid]
	}
	return pid == f.runtime
}

var (
	nameBelow  = regexp.MustCompile(`(?:\d+|AT_FDCWD)<([^<>]*)>(?:\(deleted\))?, "((?:[^"\\]|\\.)*)"`)
	descriptor = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\b(?:\d+|AT_FDCWD)<([^<>]+)>(?:\(deleted\))?`)
)

// resolve puts paths in the place of descriptors.
func resolve(name, text string) string {
	if strings.HasSuffix(name, "at") || strings.HasSuffix(name, "at2") {
		text = nameBelow.ReplaceAllStringFunc(text, func(s string) string {
			m := nameBelow.FindStringSubmatch(s)
			if strings.HasPrefix(m[2], "/") {
				return `"` + m[2] + `"`
			}
			return `"` + path.Join(m[1], m[2]) + `"`
		})
	}
	return descriptor.ReplaceAllStringFunc(text, func(s string) string {
		if m := descriptor.FindStringSubmatch(s); m[1] != "" {
			return "<" + m[1] + ">"
		}
		return s
	})
}

// changing are calls that change something for others, whatever their arguments.
var changing = strings.Fields(`mkdir mkdirat mknod mknodat symlink symlinkat link linkat rename renameat renameat2 unlink unlinkat rmdir
	chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat truncate ftruncate fallocate copy_file_range sendfile splice
	setxattr lsetxattr fsetxattr removexattr mount umount2 pivot_root move_mount fsopen fsconfig fsmount fspick chroot chdir fchdir
	setns unshare kill tkill pidfd_send_signal rt_sigqueueinfo bpf connect bind listen socketpair sendmsg sendto sendmmsg keyctl
	setsid setpgid capset setuid setgid setresuid setresgid setgroups personality sethostname setdomainname ptrace process_vm_writev
	reboot execve execveat fork vfork write pwrite64 writev pwritev pwritev2 sched_setattr setpriority ioprio_set`)

var (
	makesFile = regexp.MustCompile(`O_CREAT|O_TRUNC|O_TMPFILE`)
	asks      = regexp.MustCompile(`, (?:TCGETS|TIOCG|NS_GET_|_IOC\(_IOC_(?:READ|NONE), 0xb7|SIOCG|FIONREAD|FS_IOC_GET)`)
	sets      = regexp.MustCompile(`^prctl\(PR_(?:SET_(?:CHILD_SUBREAPER|DUMPABLE|NO_NEW_PRIVS|PDEATHSIG|KEEPCAPS|SECUREBITS|MDWE)|CAPBSET_DROP|CAP_AMBIENT)`)
	ownSignal = regexp.MustCompile(`^tgkill\(\d+, \d+, (?:SIGURG|0)\)`)                  // Go's runtime stops its threads with it; main looks for them
	ownCPUs   = regexp.MustCompile(`^sched_setaffinity\(\d+, 128, `)                     // main gives its threads back what the entry took
	noSignal  = regexp.MustCompile(`^(?:kill\(-?\d+, 0\)|pidfd_send_signal\([^,]*, 0,)`) // only asks
	typed     = regexp.MustCompile(`^write\(<[^>]*/ptmx>`)                               // what the user types, and the end of it
	messages  = regexp.MustCompile(`^\w+\([12]\b`)
)

// changes reports whether a call changes something outside of the process. What the
// user reads and types and Go's scheduler are left out, and calls that only ask with an
// argument that is wrong on purpose.
func changes(name, text string, c call) bool {
	switch name {
	case "open", "openat", "openat2":
		return makesFile.MatchString(text)
	case "clone", "clone3":
		return !strings.Contains(text, "CLONE_THREAD")
	case "ioctl":
		return !asks.MatchString(text)
	case "prctl":
		return sets.MatchString(text)
	case "tgkill":
		return !ownSignal.MatchString(text)
	case "sched_setaffinity":
		return !ownCPUs.MatchString(text)
	case "kill", "pidfd_send_signal":
		return !noSignal.MatchString(text)
	case "write", "writev":
		return !messages.MatchString(c.text) && !typed.MatchString(text) && !strings.HasPrefix(text, name+"(<anon_inode:[eventfd]>")
	}
	return slices.Contains(changing, name)
}

// want is a call that a line of the column stands for.
type want struct {
	pattern *regexp.Regexp
	// may: it need not be there; many: it may be there often.
	may, many bool
	// of is the line.
	of string
}

// wants makes them of patterns: "?" begins one that need not be there, "*" one that
// may be there any number of times.
func wants(of string, patterns ...string) []want {
	var list []want
	for _, p := range patterns {
		w := want{of: of}
		if rest, ok := strings.CutPrefix(p, "?"); ok {
			w.may, p = true, rest
		} else if rest, ok := strings.CutPrefix(p, "*"); ok {
			w.may, w.many, p = true, true, rest
		}
		w.pattern = regexp.MustCompile(`^(?:` + p + `)`)
		list = append(list, w)
	}
	return list
}

// match holds what the column wants against what happened: all of it, in this
// order, and nothing else that changes something.
func match(list []want, events []event) error {
	at, before := 0, "nothing"
	for _, e := range events {
		next := fits(list, at, e.text)
		switch {
		case next >= 0:
			if before = e.text; list[next].many {
				at = next
			} else {
				at = next + 1
			}
		case e.changes:
			return fmt.Errorf("after\n\t%.300s\nthe plan has\n\t%s\nand strace saw\n\t%.600s", before, due(list, at), e.text)
		}
	}
	for _, w := range list[at:] {
		if !w.may {
			return fmt.Errorf("after\n\t%.300s\nthe plan has\n\t%s: %s\nand strace saw nothing of it", before, w.of, w.pattern)
		}
	}
	return nil
}

// fits finds what a call is of what comes next, or -1.
func fits(list []want, at int, text string) int {
	for ; at < len(list); at++ {
		if list[at].pattern.MatchString(text) {
			return at
		}
		if !list[at].may {
			break
		}
	}
	return -1
}

// due says what is wanted next.
func due(list []want, at int) string {
	text := "nothing more"
	for ; at < len(list); at++ {
		text = list[at].of + ": " + list[at].pattern.String()
		if !list[at].may {
			break
		}
	}
	return text
}
