package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/container/output"
)

// TestJournalTakes: who keeps the output ends when the journal has all of it, not before.
func TestJournalTakes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	p := start(t, &journal{id: "web", instance: "0123456789abcdef", path: path, socket: -1})
	p.write(p.out, "one\n")
	p.out.Close()
	p.err.Close()
	select {
	case err := <-p.kept:
		t.Fatalf("it ends before the journal has read: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if _, err := socket.Read(make([]byte, 1<<12)); err != nil {
		t.Fatal(err)
	}
	if err := <-p.kept; err != nil {
		t.Error(err)
	}
}

// TestWrittenBy: entries of others do not count where the journal's number of the owner is known.
func TestWrittenBy(t *testing.T) {
	_, dir := directory(t)
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	if strings.Join(strings.Fields(string(text)), " ") == "0 0 4294967295" {
		want = []string{fmt.Sprintf("_UID=%d", os.Geteuid())}
	}
	if got := writtenBy(dir); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// followVariable is set in the process that TestFollowJournal starts.
const followVariable = "HOMERUN_LOG_TEST_FOLLOW"

// TestFollowJournal: what came between the last look of a journalctl that follows and the end
// of who keeps the output is asked for once more, from where that was.
func TestFollowJournal(t *testing.T) {
	if os.Getenv(followVariable) != "" {
		if err := run([]string{output.Show, output.Journal, "0", "-1", "f"}); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir()
	const script = `#!/bin/sh
case "$*" in
*--follow*) printf '__CURSOR=c1\nMESSAGE=one\n\n'; exec sleep 100 ;;
*--after-cursor=c1*) printf '__CURSOR=c2\nMESSAGE=two\n\n' ;;
*) printf '__CURSOR=c1\nMESSAGE=all anew\n\n' ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	where, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer where.Close()
	keeper, ends, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	said, says, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFollowJournal$")
	cmd.Env = append(os.Environ(), followVariable+"=1", "PATH="+dir+":"+os.Getenv("PATH"))
	cmd.ExtraFiles = []*os.File{where, says, keeper}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	says.Close()
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "one\n" {
		t.Errorf("%q, %v", line, err)
	}
	ends.Close()
	if line, err := lines.ReadString('\n'); line != "two\n" {
		t.Errorf("%q, %v", line, err)
	}
	_, _ = io.Copy(io.Discard, lines)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestUnread: what journalctl says is the error, in one line, with what helps who may not read
// the journal; of one that follows, too. What it says and goes on is passed on.
func TestUnread(t *testing.T) {
	const denied = "No journal files were opened due to insufficient permissions"
	ends := make(chan bool)
	defer close(ends)
	for script, want := range map[string]string{
		"echo '" + denied + ".' >&2; exit 1":         "journalctl: " + denied + "\nmembers of the groups adm and systemd-journal may read the journal: ",
		"echo one >&2; echo two >&2; exit 1":         "journalctl: one two",
		"exit 3":                                     "journalctl: exit status 3",
		"printf 'MESSAGE=x\\n\\n'; echo warning >&2": "",
	} {
		for _, until := range []func(){nil, func() { <-ends }} {
			var out, problems strings.Builder
			v := view{out: &out, err: &problems, last: -1}
			_, err := v.entries([]string{"/bin/sh", "-c", script}, until)
			got := ""
			if err != nil {
				got = words(err)
			}
			if want == "" && (got != "" || out.String() != "x\n" || problems.String() != "warning\n") || want != "" && problems.Len() > 0 {
				t.Errorf("%s: %q, %q, %q", script, got, out.String(), problems.String())
			}
			if first, hint, _ := strings.Cut(want, "\n"); got != want && (hint == "" || !strings.HasPrefix(got, first+"\n"+hint)) {
				t.Errorf("%s: %q, want %q", script, got, want)
			}
		}
	}
}

// TestReports: what journalctl says while it shows entries is passed on at once, for it may
// go on for days.
func TestReports(t *testing.T) {
	problems, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer problems.Close()
	v := view{out: io.Discard, err: problems, last: -1}
	said := func() string {
		text, _ := os.ReadFile(problems.Name())
		return string(text)
	}
	until := func() {
		for begun := time.Now(); said() != "before\nafter\n" && time.Since(begun) < 10*time.Second; time.Sleep(time.Millisecond) {
		}
		if got := said(); got != "before\nafter\n" {
			t.Errorf("%q", got)
		}
	}
	if _, err := v.entries([]string{"/bin/sh", "-c", `echo before >&2; printf 'MESSAGE=x\n\n'; sleep 0.1; echo after >&2; exec sleep 20`}, until); err != nil {
		t.Error(err)
	}
}
