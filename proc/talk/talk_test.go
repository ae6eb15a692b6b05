package talk

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// start runs a shell with a talk's streams; where it has none, with /dev/null.
func start(t *testing.T, talk *Talk, script string) int {
	t.Helper()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var files []uintptr
	for _, fd := range talk.Stdio() {
		if fd < 0 {
			fd = int(null.Fd())
		}
		files = append(files, uintptr(fd))
	}
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, &syscall.ProcAttr{Files: files, Env: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func open(t *testing.T) int {
	t.Helper()
	if null, err := os.Open(os.DevNull); err == nil { // Go's poller keeps two, from the first such file on
		null.Close()
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// The exit status decides, and how long that takes is for the process alone to say:
// not for those that it leaves with its streams, be they silent or writing on.
func TestAttend(t *testing.T) {
	before := open(t)
	for _, test := range []struct{ script, want, words string }{
		{"exit 0", "", ""},
		{"sleep 20 & exit 0", "", ""},
		{"yes >&2 & exit 0", "", "*"},
		{"sleep 20 & echo oh >&2; exit 3", "exit status 3", "oh"},
		{"echo no disk >&2; exit 130", "exit status 130", "no disk"},
		{"kill -KILL $$", "killed by SIGKILL", ""},
		{"echo a >&2; kill -TERM $$", "killed by SIGTERM", "a"},
		{"exec 2>&-; exit 4", "exit status 4", ""},
		{"exec 2>&-; sleep 0.1; exit 4", "exit status 4", ""},
		{"exec <&-; exit 0", "", ""},
		{"exec <&-; sleep 0.1; echo b >&2", "", "b"},
		{"cat >&2", "", "told"},
		{"head -c 300000 /dev/zero | tr '\\0' a >&2; echo the reason >&2; exit 1", "exit status 1", "..." + strings.Repeat("a", shownWords-len("the reason")) + "the reason"},
	} {
		talk, err := New([]byte("told"), -1, -1)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		got := ""
		if err := talk.Attend(t.Context(), start(t, talk, test.script)); err != nil {
			got = err.Error()
		}
		if words := talk.Words(); got != test.want || test.words != "*" && words != test.words {
			t.Errorf("%s: %q and %q, want %q and %q", test.script, got, words, test.want, test.words)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: took %s", test.script, took)
		}
		talk.Close()
		if now := open(t); now != before {
			t.Fatalf("%s: %d descriptors, %d before", test.script, now, before)
		}
	}
}

// All that it is told arrives, more than a pipe holds too, and then the end.
func TestTells(t *testing.T) {
	for _, length := range []int{0, 1, 64 << 10, 1<<20 + 1} {
		name := filepath.Join(t.TempDir(), "out")
		out, err := unix.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("x"), length)
		talk, err := New(want, out, -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := talk.Attend(t.Context(), start(t, talk, "cat")); err != nil {
			t.Error(err)
		}
		talk.Close()
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d of %d bytes, %v", len(got), length, err)
		}
	}
}

// With a file for its standard error nothing is heard; without streams of its own a
// process is only heard.
func TestStreams(t *testing.T) {
	name := filepath.Join(t.TempDir(), "err")
	file, err := unix.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	talk, err := New(nil, -1, file)
	if err != nil {
		t.Fatal(err)
	}
	if stdio := talk.Stdio(); stdio[0] < 0 || stdio[1] < 0 || stdio[2] != file || talk.out != (pipe{-1, -1}) {
		t.Errorf("%v, %v", stdio, talk.out)
	}
	if err := talk.Attend(t.Context(), start(t, talk, "echo no; echo oh >&2; exit 2")); err == nil || err.Error() != "exit status 2" || talk.Words() != "" {
		t.Errorf("%v, %q", err, talk.Words())
	}
	talk.Close()
	if text, err := os.ReadFile(name); err != nil || string(text) != "oh\n" {
		t.Errorf("%q, %v", text, err)
	}
	hearing, err := Hearing()
	if err != nil {
		t.Fatal(err)
	}
	defer hearing.Close()
	if stdio := hearing.Stdio(); stdio[0] != -1 || stdio[1] != -1 || stdio[2] < 0 || hearing.in != (pipe{-1, -1}) || hearing.stderr != -1 {
		t.Errorf("%v, %+v", stdio, hearing)
	}
	if err := hearing.Attend(t.Context(), start(t, hearing, "echo oh >&2")); err != nil || hearing.Words() != "oh" {
		t.Errorf("%v, %q", err, hearing.Words())
	}
}

// Who is talked with is killed when the context ends, before or meanwhile.
func TestCancelled(t *testing.T) {
	for name, after := range map[string]time.Duration{"before": 0, "meanwhile": 50 * time.Millisecond} {
		talk, err := New(nil, -1, -1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), after)
		begun := time.Now()
		err = talk.Attend(ctx, start(t, talk, "sleep 30"))
		if err == nil || err.Error() != "killed by SIGKILL" || time.Since(begun) > 10*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(begun))
		}
		cancel()
		talk.Close()
	}
}

// One that is no process of ours is an error, and not a reason to wait.
func TestNobody(t *testing.T) {
	talk, err := New(nil, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer talk.Close()
	if err := talk.Attend(t.Context(), 1<<22); err == nil || !strings.HasPrefix(err.Error(), "open the process: ") {
		t.Errorf("no process: %v", err)
	}
	foreign, err := New(nil, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	middle := start(t, foreign, "sleep 100 & echo $! >&2; wait")
	defer func() { unix.Kill(middle, unix.SIGKILL); unix.Wait4(middle, nil, 0, nil) }()
	var line [16]byte
	if err := unix.SetNonblock(foreign.out.read, false); err != nil {
		t.Fatal(err)
	}
	n, err := unix.Read(foreign.out.read, line[:])
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	for _, digit := range strings.TrimSpace(string(line[:n])) {
		pid = pid*10 + int(digit-'0')
	}
	if err := unix.SetNonblock(foreign.out.read, true); err != nil {
		t.Fatal(err)
	}
	if err := foreign.Attend(ctx, pid); err == nil || !strings.HasPrefix(err.Error(), "wait for process ") {
		t.Errorf("not our child: %v", err)
	}
}

// The last words are shown, in one line, from a whole character on.
func TestWords(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", ""},
		{" a\n\tb \r\n", "a b"},
		{"\x1b[2Ja\u202eb", `\x1b[2Ja\u202eb`},
		{strings.Repeat("a", 500), strings.Repeat("a", 500)},
		{strings.Repeat("a", 2000) + "b", "..." + strings.Repeat("a", 499) + "b"},
		{"日" + strings.Repeat("a", 498), "..." + strings.Repeat("a", 498)},
		{"\xe6\x97" + strings.Repeat("\x97", 600), "..."},
	} {
		if got := (&Talk{words: []byte(test.in)}).Words(); got != test.want {
			t.Errorf("%.20q: %q, want %q", test.in, got, test.want)
		}
	}
}

// Of much that is said the last part is kept.
func TestKeptWords(t *testing.T) {
	talk, err := Hearing()
	if err != nil {
		t.Fatal(err)
	}
	defer talk.Close()
	for range 3 {
		if _, err := unix.Write(talk.out.write, bytes.Repeat([]byte("abcd"), keptWords/8)); err != nil {
			t.Fatal(err)
		}
		talk.listen()
	}
	if len(talk.words) != keptWords {
		t.Errorf("%d bytes, want %d", len(talk.words), keptWords)
	}
	talk.listen() // nothing there
	if talk.out.read < 0 {
		t.Error("closed for want of words")
	}
}
