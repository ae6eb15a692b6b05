package strace

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// call is one system call as strace saw it, of one thread. Its text and result have
// no paths of descriptors (strace -y); whole is the text with them.
type call struct {
	pid          int
	text, result string
	whole        string
}

// value is what the call returned: an errno as a negative number.
func (c call) value() int {
	n, rest, _ := strings.Cut(c.result, " ")
	v, err := strconv.ParseInt(n, 0, 64)
	if err != nil {
		return 0 // "?", of a call that does not return
	}
	if v == -1 {
		name, _, _ := strings.Cut(rest, " ")
		return -int(errnoNamed(name))
	}
	return int(v)
}

func errnoNamed(name string) unix.Errno {
	for e := unix.Errno(1); e < 140; e++ {
		if unix.ErrnoName(e) == name {
			return e
		}
	}
	return 0
}

// parse reads strace's output, in the order in which calls began.
func parse(out string) []call {
	var calls []call
	unfinished := map[int]int{} // the place of a thread's call in the list
	for _, line := range strings.Split(out, "\n") {
		number, text, _ := strings.Cut(line, " ")
		pid, err := strconv.Atoi(number)
		text = strings.TrimLeft(text, " ")
		if err != nil || strings.HasPrefix(text, "---") || strings.HasPrefix(text, "+++") {
			continue
		}
		if begin, ok := strings.CutSuffix(text, " <unfinished ...>"); ok {
			unfinished[pid] = len(calls)
			calls = append(calls, newCall(pid, begin, "?"))
			continue
		}
		at, resumed := unfinished[pid]
		if resumed && strings.HasPrefix(text, "<... ") {
			_, rest, _ := strings.Cut(text, " resumed>")
			text = calls[at].whole + rest
		}
		i := strings.LastIndex(text, " = ")
		switch {
		case i < 0:
		case resumed:
			calls[at] = newCall(pid, strings.TrimRight(text[:i], " "), text[i+3:])
			delete(unfinished, pid)
		default:
			calls = append(calls, newCall(pid, strings.TrimRight(text[:i], " "), text[i+3:]))
		}
	}
	return calls
}

func newCall(pid int, text, result string) call {
	return call{pid, bare(text), bare(result), text}
}

// decorated is a descriptor with its path, or a string.
var decorated = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|(\d|AT_FDCWD)<(?:[^<>\n][^<>\n]*)>(?:\(deleted\))?`)

// bare takes the paths of descriptors out.
func bare(text string) string {
	return decorated.ReplaceAllStringFunc(text, func(s string) string {
		if s[0] == '"' {
			return s
		}
		before, _, _ := strings.Cut(s, "<")
		return before
	})
}

// of are the calls of one process.
func of(calls []call, pid int) []call {
	var list []call
	for _, c := range calls {
		if c.pid == pid {
			list = append(list, c)
		}
	}
	return list
}

// process is one that runs the plan.
type process struct {
	pid, step int // step counts from 0
	slots     map[string]int
	calls     []call
}

// follow holds the plan against the calls of the stage of that name and of the
// processes that it makes. It returns which steps ran, and those processes.
func follow(t *testing.T, p printed, calls []call, name string) (ran []bool, pids []int) {
	t.Helper()
	waiting := []process{{pid: stagePid(calls, name), slots: p.Inputs}}
	if waiting[0].pid == 0 {
		t.Fatalf("strace saw no stage %q", name)
	}
	waiting[0].calls = afterStart(of(calls, waiting[0].pid), name)
	ran = make([]bool, len(p.Steps))
	for len(waiting) > 0 {
		now := waiting[0]
		waiting = waiting[1:]
		pids = append(pids, now.pid)
		children, err := now.follow(p, ran)
		if err != nil {
			t.Fatalf("process %d: %v", now.pid, err)
		}
		for _, c := range children {
			if c.calls = of(calls, c.pid); len(c.calls) == 0 {
				c.pid = c.inNamespace(p, calls)
				c.calls = of(calls, c.pid)
			}
			waiting = append(waiting, c)
		}
	}
	return ran, pids
}

// stagePid finds the process that executed the image by that name.
func stagePid(calls []call, name string) int {
	for _, c := range calls {
		if isStart(c, name) {
			return c.pid
		}
	}
	return 0
}

func isStart(c call, name string) bool {
	return strings.HasPrefix(c.text, `execve("/proc/self/fd/`) && strings.Contains(c.text, `", ["`+name+`"], []`) && c.result == "0"
}

func afterStart(list []call, name string) []call {
	for i, c := range list {
		if isStart(c, name) {
			return list[i+1:]
		}
	}
	return nil
}

// follow walks one process through the plan, to its exit or its execve.
func (p *process) follow(plan printed, ran []bool) (children []process, err error) {
	for i, c := range p.calls {
		if p.step >= len(plan.Steps) {
			return nil, fmt.Errorf("after the last step strace saw\n%s", c.text)
		}
		step := plan.Steps[p.step]
		if strings.HasPrefix(step.Call, "reap(") {
			ran[p.step] = true
			return children, reaps(expected(step.Call, p.slots), p.calls[i:])
		}
		want, got := expected(step.Call, p.slots), normal(c.text)
		if want != got {
			return nil, fmt.Errorf("step %d: the plan has\n%s\nthat is\n%s\nstrace saw\n%s", p.step+1, step.Call, want, got)
		}
		ran[p.step] = true
		if ends(c) {
			return children, nil
		}
		slot, next, err := after(step, p.step, c.value())
		if err != nil {
			return nil, err
		}
		if (strings.HasPrefix(c.text, "clone3(") || strings.HasPrefix(c.text, "clone(")) && c.value() > 0 {
			child := process{pid: c.value(), slots: with(p.slots, slot, 0)}
			if _, child.step, err = after(step, p.step, 0); err != nil {
				return nil, err
			}
			children = append(children, child)
		}
		p.slots, p.step = with(p.slots, slot, c.value()), next
		if status, waited := waitStatus(c.text); waited {
			p.slots = with(p.slots, "status", status)
		}
		if number, came := received(c.text); came {
			p.slots = with(p.slots, "number", number)
		}
	}
	return nil, fmt.Errorf("strace saw nothing after step %d", p.step)
}

// waitStatus is the status that wait4(2) stored.
func waitStatus(text string) (status int, ok bool) {
	if m := exited.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n << 8, true
	}
	if m := killed.FindStringSubmatch(text); m != nil {
		return int(unix.SignalNum(m[1])), true
	}
	return 0, false
}

// received is the value of a signal that one process of the stage sent another.
func received(text string) (number int, ok bool) {
	m := receive.FindStringSubmatch(text)
	if m == nil || m[2][0] != '"' {
		return 0, false
	}
	record := unescape(m[2])
	if len(record) != 8 {
		return 0, false
	}
	return int(binary.LittleEndian.Uint32(record[4:])), true
}

// ends reports the calls that do not return.
func ends(c call) bool {
	return strings.HasPrefix(c.text, "exit_group(") || strings.HasPrefix(c.text, "execve(") && c.value() == 0
}

// with is the slots with one more.
func with(slots map[string]int, name string, value int) map[string]int {
	copied := map[string]int{name: value}
	for k, v := range slots {
		if k != name {
			copied[k] = v
		}
	}
	return copied
}

// after reads from a step's line where its result goes and which step is next:
// "$fd = call(...)  // = 1, ENOENT -> 7, EPERM, 0 -> 9, not 0 -> 8".
func after(step printedStep, at, result int) (slot string, next int, err error) {
	before, notes, _ := strings.Cut(step.Line, step.Call)
	slot = strings.TrimSuffix(strings.TrimPrefix(before, "$"), " = ")
	found := result >= 0
	next = at + 1
	for _, note := range strings.Split(strings.TrimPrefix(notes, "  // "), ", ") {
		when, to, jumps := strings.Cut(note, " -> ")
		if !matches(when, result) {
			continue
		}
		if found = true; jumps {
			if next, err = strconv.Atoi(to); err != nil {
				return "", 0, fmt.Errorf("step %d: note %q", at+1, note)
			}
			next--
		}
	}
	if want, ok := strings.CutPrefix(strings.TrimPrefix(notes, "  // "), "= "); ok && result >= 0 {
		first, _, _ := strings.Cut(want, ",")
		found = first == strconv.Itoa(result)
	}
	if !found {
		return "", 0, fmt.Errorf("step %d: %s returned %d (%s), which the plan does not go on after", at+1, step.Call, result, unix.ErrnoName(unix.Errno(-result)))
	}
	return slot, next, nil
}

// matches reports whether a note is about the result.
func matches(when string, result int) bool {
	switch when {
	case "0":
		return result == 0
	case "not 0":
		return result > 0
	}
	return result < 0 && unix.ErrnoName(unix.Errno(-result)) == when
}

var (
	slotName = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\$[A-Za-z0-9_:.-]+`)
	signal   = regexp.MustCompile(`^write\((\d+), \{tag=(\d+), value=(\d+)\}, 8\)$`)
	buffer   = regexp.MustCompile(`^read\((\d+), (?:".*"|0x[0-9a-f]+), (\d+)\)$`)
	receive  = regexp.MustCompile(`^(recvfrom\(\d+, )(".*"|0x[0-9a-f]+)(, 8, MSG_DONTWAIT)`)
	clone    = regexp.MustCompile(`^(clone3\(.*) => \{[^}]*\}(.*)$`)
	exited   = regexp.MustCompile(`^wait4\(.*WEXITSTATUS\(s\) == (\d+)`)
	killed   = regexp.MustCompile(`^wait4\(.*WTERMSIG\(s\) == (SIG\w+)`)
	status   = regexp.MustCompile(`^(wait4\(\d+, )\[\{.*\}\]`)
	cpus     = regexp.MustCompile(`\[\d+(?: \d+)+(?: \.\.\.)?\]`)
	modes    = regexp.MustCompile(`c_line=N_TTY, c_cc=\[.*\]\}\)$`)
	filter   = regexp.MustCompile(`^(seccomp\(.*)filter=\[.*\]\}\)$`)
)

// expected is a printed call with the slots' numbers. A signal is printed as
// what it means; strace shows its bytes.
func expected(text string, slots map[string]int) string {
	text = slotName.ReplaceAllStringFunc(text, func(s string) string {
		if v, ok := slots[strings.TrimPrefix(s, "$")]; ok && s[0] == '$' {
			return strconv.Itoa(v)
		}
		return s
	})
	if m := signal.FindStringSubmatch(text); m != nil {
		tag, _ := strconv.Atoi(m[2])
		value, _ := strconv.Atoi(m[3])
		text = fmt.Sprintf("write(%s, %s, 8)", m[1], record(uint32(tag)|1<<31, uint32(value)))
	}
	return text
}

// record is a signal's record in strace's notation.
func record(fields ...uint32) string {
	var b []byte
	for _, f := range fields {
		b = append(b, byte(f), byte(f>>8), byte(f>>16), byte(f>>24))
	}
	text := ""
	for i, c := range b {
		switch {
		case c == '"' || c == '\\':
			text += `\` + string(rune(c))
		case c >= ' ' && c <= '~':
			text += string(rune(c))
		case strings.IndexByte("\t\n\v\f\r", c) >= 0:
			text += `\` + string("tnvfr"[c-'\t'])
		case i+1 < len(b) && b[i+1] >= '0' && b[i+1] <= '7':
			text += fmt.Sprintf(`\%03o`, c)
		default:
			text += fmt.Sprintf(`\%o`, c)
		}
	}
	return `"` + text + `"`
}

// ranges shortens a list of CPUs as plans print it: [0 1 2 7] is [0-2 7].
// What strace cuts off is taken to be the mask of all CPUs.
func ranges(list string) string {
	short, last, begin := "", -2, -2
	for _, field := range strings.Fields(strings.Trim(list, "[]")) {
		n, err := strconv.Atoi(field)
		switch {
		case err != nil: // strace shows the first 1024
			return "[0-8191]"
		case n != last+1:
			short, begin = short+" "+field, n
		case begin == last:
			short += "-" + field
		default:
			short = short[:strings.LastIndex(short, "-")+1] + field
		}
		last = n
	}
	return "[" + strings.TrimSpace(short) + "]"
}

// newer are names that strace 6.1 does not know yet, or knows to be wrong.
var newer = strings.NewReplacer("propagation=0 /* MS_??? */", "propagation=0", "|0x200000", "|MOUNT_ATTR_NOSYMFOLLOW",
	"MOUNT_ATTR_NOATIME|MOUNT_ATTR_STRICTATIME|0x40", "MOUNT_ATTR__ATIME",
	"SNDCTL_TMR_START or TCSETS", "TCSETS", "TIOCGPTPEER, 0x80102)", "TIOCGPTPEER, O_RDWR|O_NOCTTY|O_CLOEXEC)")

// normal is strace's line without what only the run can tell.
func normal(text string) string {
	text = buffer.ReplaceAllString(text, `read($1, buffer, $2)`)
	text = receive.ReplaceAllString(text, `${1}{value=$$number}$3`)
	text = clone.ReplaceAllString(text, `$1$2`)
	text = status.ReplaceAllString(text, `${1}[$$status]`)
	text = modes.ReplaceAllString(text, `...})`)
	text = cpus.ReplaceAllStringFunc(text, ranges)
	return newer.Replace(filter.ReplaceAllString(text, `${1}filter})`))
}
