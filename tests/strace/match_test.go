package strace

import (
	"slices"
	"strings"
	"testing"
)

// TestMatch makes sure that comparing a column can fail.
func TestMatch(t *testing.T) {
	list := append(wants("line 1", `mkdir\("a"`, `?read\(`, `*write\(<a>`), wants("line 2", `kill\(5`)...)
	tests := []struct{ name, out, want string }{
		{"as planned", `mkdir("a") getpid() write(<a>, "1") write(<a>, "2") kill(5, 9)`, ""},
		{"without what need not be", `mkdir("a") kill(5, 9)`, ""},
		{"one left out", `mkdir("a") read(3)`, "line 2: ^(?:kill\\(5)\nand strace saw nothing of it"},
		{"the first left out", `kill(5, 9)`, "strace saw\n\tkill(5, 9)"},
		{"another order", `kill(5, 9) mkdir("a")`, "strace saw\n\tkill(5, 9)"},
		{"another argument", `mkdir("b")`, "strace saw\n\tmkdir(\"b\")"},
		{"one too many", `mkdir("a") kill(5, 9) kill(5, 9)`, "nothing more\nand strace saw\n\tkill(5, 9)"},
		{"in between", `mkdir("a") write(<b>, "1") kill(5, 9)`, "strace saw\n\twrite(<b>, \"1\")"},
	}
	for _, test := range tests {
		var events []event
		for _, text := range strings.SplitAfter(test.out, ") ") {
			text = strings.TrimSuffix(text, " ")
			name, _, _ := strings.Cut(text, "(")
			events = append(events, event{text, changes(name, text, call{text: text})})
		}
		err := match(list, events)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
}

// TestChanges has what is a change, and what only looks like one.
func TestChanges(t *testing.T) {
	for text, want := range map[string]bool{
		`5 openat(AT_FDCWD</>, "a", O_RDONLY) = 3</a>`:                             false,
		`5 openat(AT_FDCWD</>, "a", O_RDWR|O_CREAT, 0600) = 3</a>`:                 true,
		`5 write(2<pipe:[7]>, "homerun: warning", 16) = 16`:                        false,
		`5 write(22<pipe:[7]>, "\0", 1) = 1`:                                       true,
		`5 write(3<anon_inode:[eventfd]>, "\1", 8) = 8`:                            false,
		`5 ioctl(3</dev/pts/1>, TCGETS, {}) = 0`:                                   false,
		`5 ioctl(3</dev/pts/1>, TCSETS, {}) = 0`:                                   true,
		`5 tgkill(5, 6, SIGURG) = 0`:                                               false,
		`5 tgkill(5, 6, SIGKILL) = 0`:                                              true,
		`5 tgkill(5, 6, 0) = 0`:                                                    false,
		`5 sched_setaffinity(6, 128, [0 1]) = 0`:                                   false,
		`5 sched_setaffinity(0, 8, [0]) = 0`:                                       true,
		`5 kill(7, 0) = 0`:                                                         false,
		`5 pidfd_send_signal(3<anon_inode:[pidfd]>, SIGKILL, NULL, 0) = 0`:         true,
		`5 pidfd_send_signal(3<anon_inode:[pidfd]>, 0, NULL, 0) = 0`:               false,
		`5 setns(3</proc/7/ns/mnt>, CLONE_NEWNS) = 0`:                              true,
		`5 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD, tls=0x2) = 6`:       false,
		`5 clone(child_stack=NULL, flags=CLONE_VM|CLONE_VFORK|SIGCHLD) = 6`:        true,
		`5 prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) = 0`:                          true,
		`5 prctl(PR_SET_TIMERSLACK, 50000) = 0`:                                    false,
		`5 sendmsg(3<socket:[9]>, {msg_name=NULL, msg_iov=[{iov_base="\0"}]}) = 1`: true,
	} {
		calls := parse(text)
		name, _, _ := strings.Cut(calls[0].text, "(")
		if got := changes(name, resolve(name, calls[0].whole), calls[0]); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestVerbs(t *testing.T) {
	for text, want := range map[string]string{
		`mkdir("a, b", 0755), write("c(d", $init)  // EINVAL`:                 `mkdir[a, b|0755] write[c(d|$init]`,
		`await init  // by step 5`:                                            `await[init]`,
		`$net = open("/a", O_RDONLY)`:                                         `open[/a|O_RDONLY]`,
		`compile-rest()`:                                                      `compile-rest[]`,
		`StartTransientUnit("u", Description=a b, PIDs=[$init], Wants=[a b])`: `StartTransientUnit[u|Description=a b|PIDs=[$init]|Wants=[a b]]`,
	} {
		var got []string
		for _, v := range verbs(text) {
			got = append(got, v.name+"["+strings.Join(v.arguments, "|")+"]")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", text, got, want)
		}
	}
}

func TestResolve(t *testing.T) {
	for text, want := range map[string]string{
		`renameat(8</a/b>, ".c", 8</a/b>(deleted), "/d")`: `renameat("/a/b/.c", "/d")`,
		`write(5</a/b>(deleted), "3</x>", 5)`:             `write(</a/b>, "3</x>", 5)`,
		`mkdirat(AT_FDCWD</a>, "b", 0700)`:                `mkdirat("/a/b", 0700)`,
	} {
		name, _, _ := strings.Cut(text, "(")
		if got := resolve(name, text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// TestBusCalls has calls by D-Bus as strace shows them.
func TestBusCalls(t *testing.T) {
	const hello = `write(<socket:[1215]>, "l\1\0\1\0\0\0\0\1\0\0\0n\0\0\0\2\1s\0\24\0\0\0org.freedesktop.DBus\0\0\0\0\1\1o\0\25\0\0\0/org/freedesktop/DBus\0\0\0\6\1s\0\24\0\0\0org.freedesktop.DBus\0\0\0\0\3\1s\0\5\0\0\0Hello\0\0\0", 128)`
	if got := busCalls(hello); !slices.Equal(got, []string{"Hello()"}) {
		t.Errorf("got %q", got)
	}
	twice := strings.Replace(hello, `"l`, `"`+hello[strings.Index(hello, `"l`)+1:strings.LastIndex(hello, `"`)]+`l`, 1)
	if got := busCalls(twice); !slices.Equal(got, []string{"Hello()", "Hello()"}) {
		t.Errorf("got %q", got)
	}
	first := strings.Replace(hello, `"l`, `"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\nl`, 1)
	if got := busCalls(first); !slices.Equal(got, []string{"Hello()"}) {
		t.Errorf("got %q", got)
	}
	for _, text := range []string{`write(<socket:[1]>, "AUTH\r\n", 6)`, `write(<socket:[1]>, "\0AUTH\r\nBEGIN\r\n", 14)`, `close(3)`} {
		if got := busCalls(text); !slices.Equal(got, []string{text}) {
			t.Errorf("got %q", got)
		}
	}
}

// TestBesideTheRuntime: what the network's helper does beside the runtime's next
// steps is nobody's in the column, and what others do is.
func TestBesideTheRuntime(t *testing.T) {
	const helper = `1 clone(child_stack=NULL, flags=CLONE_VM|CLONE_VFORK <unfinished ...>
2 execve("/bin/homerun-net", ["homerun-net"], []) = 0
1 <... clone resumed>) = 2
2 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 3
3 clone(child_stack=NULL, flags=CLONE_VM|CLONE_VFORK <unfinished ...>
4 execve("/usr/bin/pasta", ["pasta"], []) = 0
4 setns(5, CLONE_NEWUSER) = 0
3 <... clone resumed>) = 4
`
	const other = `1 clone(child_stack=NULL, flags=CLONE_VM|CLONE_VFORK) = 6
6 execve("/bin/true", ["true"], []) = 0
`
	var executed []string
	for _, e := range runtimeEvents(parse("1 execve(\"/bin/homerun\", [\"homerun\"], []) = 0\n"+helper+other), []int{99}) {
		if strings.HasPrefix(e.text, "execve") || strings.HasPrefix(e.text, "setns") {
			executed = append(executed, e.text)
		}
	}
	if want := []string{`execve("/bin/homerun-net", ["homerun-net"], [])`, `execve("/bin/true", ["true"], [])`}; !slices.Equal(executed, want) {
		t.Errorf("%q, want %q", executed, want)
	}
}

// TestExecutedMeanwhile: what a process executes first stands beside its making, however
// far the runtime has come by then; what it executes later stands where it does.
func TestExecutedMeanwhile(t *testing.T) {
	const trace = `1 execve("/bin/homerun", ["homerun"], []) = 0
1 clone3({flags=CLONE_VM|CLONE_CLEAR_SIGHAND, exit_signal=SIGCHLD, stack=NULL, stack_size=0}, 64) = 2
1 mkdir("a", 0755) = 0
2 execve("/bin/none", ["helper"], []) = -1 ENOENT (No such file or directory)
2 execve("/bin/one", ["helper"], []) = 0
1 mkdir("b", 0755) = 0
2 execve("/bin/two", ["helper"], []) = 0
`
	var got []string
	for _, e := range runtimeEvents(parse(trace), []int{99}) {
		name, rest, _ := strings.Cut(e.text, "(")
		got = append(got, name+" "+strings.Split(rest+`""`, `"`)[1])
	}
	if want := []string{"clone3 ", "execve /bin/one", "mkdir a", "mkdir b", "execve /bin/two"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
