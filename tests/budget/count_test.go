package budget

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	begun   = regexp.MustCompile(`^(\d+) +(\w+)\(`)
	resumed = regexp.MustCompile(`^(\d+) +<\.\.\. execve resumed>.*= 0$`)
	sent    = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})+)"`)
)

// ofThreads are the calls of Go's threads, as many as the kernel's scheduler makes necessary; the clock, a call where
// the kernel has no vDSO for it, as in the test machine; and the actions of signals, of which most are set only when
// the program has run for some time.
var ofThreads = strings.Fields("futex nanosleep clock_nanosleep clock_gettime sched_yield epoll_pwait restart_syscall rt_sigreturn tgkill getpid gettid" +
	" sigaltstack rt_sigaction rt_sigprocmask mmap munmap madvise set_robust_list rseq")

// own begins the path of what homerun executes of itself; what any other execve starts is a program.
const own = `execve("\x2f\x70\x72\x6f\x63\x2f\x73\x65\x6c\x66\x2f` // /proc/self/

// count reads what `strace -f -xx` wrote.
func count(text string) took {
	t := took{"calls": 0, "processes": 0, "messages": 0}
	first, waiting, programs := "", map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := resumed.FindStringSubmatch(line); m != nil && waiting[m[1]] {
			programs[m[1]] = true
		}
		m := begun.FindStringSubmatch(line)
		if m == nil || programs[m[1]] {
			continue
		}
		pid, name := m[1], m[2]
		if first == "" {
			first = pid
		} else if name == "execve" && !strings.Contains(line, own) {
			waiting[pid] = strings.HasSuffix(line, "unfinished ...>")
			programs[pid] = strings.HasSuffix(line, "= 0")
		}
		thread := strings.Contains(line, "CLONE_THREAD")
		if slices.Contains([]string{"clone", "clone3", "vfork", "fork"}, name) && !thread {
			t["processes"]++
		}
		if !thread && !slices.Contains(ofThreads, name) {
			t["calls"]++
		}
		if name == "write" || name == "sendmsg" || name == "sendto" {
			for _, s := range sent.FindAllStringSubmatch(line, -1) {
				t["messages"] += messages(s[1])
			}
		}
	}
	return t
}

// messages counts the method calls of D-Bus in what was sent: each begins with 'l', 1, flags, 1, and has the
// lengths of its body and of its header's fields (the D-Bus specification, "Message Format"). The first may follow on
// the handshake's last word.
func messages(escaped string) int {
	b, err := hex.DecodeString(strings.ReplaceAll(escaped, `\x`, ""))
	if _, after, ok := bytes.Cut(b, []byte("BEGIN\r\n")); ok {
		b = after
	}
	n := 0
	for err == nil && len(b) >= 16 && b[0] == 'l' && b[1] == 1 && b[3] == 1 {
		n++
		fields := (int(binary.LittleEndian.Uint32(b[12:])) + 7) &^ 7
		b = b[min(len(b), 16+fields+int(binary.LittleEndian.Uint32(b[4:]))):]
	}
	return n
}

func TestCount(t *testing.T) {
	const message = `\x6c\x01\x00\x01\x04\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00\x01\x02\x03\x00\x00\x00\x00\x00\x0a\x0b\x0c\x0d`
	got := count(`7 execve("\x2f\x68", ["\x2f\x68"], 0x7 /* 0 vars */) = 0
7 futex(0x5, FUTEX_WAKE_PRIVATE, 1) = 0
7 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 8
8 write(3, "` + message + message + `", 56) = 56
7 write(4, "\x42\x45\x47\x49\x4e\x0d\x0a` + message + `", 36) = 36
7 write(3, "` + message[:60] + `", 15) = 15
7 clone(child_stack=NULL, flags=CLONE_VM|CLONE_VFORK|SIGCHLD <unfinished ...>
9 ` + own + `\x66\x64\x2f\x33", ["\x68"], 0x1 <unfinished ...>
7 <... clone resumed>) = 9
9 <... execve resumed>) = 0
9 clone3(0x77, 88) = 10
10 execve(0x485890, 0x4858b0, 0x485918) = -1 ENOENT (No such file or directory)
10 execve(0x485890, 0x4858b0, 0x485918 <unfinished ...>
10 <... execve resumed>) = 0
10 umask(0) = 022
10 +++ exited with 0 +++
`)
	// execve, 3 writes, 2 clones, 3 execve; not umask, which is the program's.
	if got["calls"] != 9 || got["processes"] != 2 || got["messages"] != 3 {
		t.Errorf("got %v", got)
	}
}

func TestOver(t *testing.T) {
	const text = "# x\nall-margin calls 10\n\nrun calls 100 processes 2\nrunner calls 7\nx-run calls 100\n"
	for _, c := range []struct {
		unit string
		took int
		over bool
	}{{"calls", 110, false}, {"calls", 111, true}, {"processes", 2, false}, {"processes", 3, true}, {"messages", 0, true}} {
		if err := over(text, "run", c.unit, c.took); (err != nil) != c.over {
			t.Errorf("%d %s: %v", c.took, c.unit, err)
		}
	}
	if err := over(text, "x-run", "calls", 101); err == nil {
		t.Error("the margin of all is that of x")
	}
	if place, n, err := find(text, "runner", "calls"); err != nil || n != 7 || text[place[0]:place[1]] != "7" {
		t.Errorf("got %d at %v, %v", n, place, err)
	}
}
