package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/container/output"
	"golang.org/x/sys/unix"
)

// program is a program that writes, and who keeps that.
type program struct {
	t        *testing.T
	out, err *os.File
	kept     chan error
}

func start(t *testing.T, to sink) *program {
	t.Helper()
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t, outWrite, errWrite, make(chan error, 1)}
	go func() {
		defer outRead.Close()
		defer errRead.Close()
		p.kept <- copyAll([]*stream{{fd: int(outRead.Fd()), name: output.Stdout}, {fd: int(errRead.Fd()), name: output.Stderr}}, to)
	}()
	return p
}

// end ends the program, and waits until all is kept.
func (p *program) end() {
	p.t.Helper()
	p.out.Close()
	p.err.Close()
	if err := <-p.kept; err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) write(f *os.File, text string) {
	p.t.Helper()
	if _, err := f.WriteString(text); err != nil {
		p.t.Fatal(err)
	}
}

func directory(t *testing.T) (string, int) {
	t.Helper()
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return dir, fd
}

// shown is what a view shows of a directory.
func shown(t *testing.T, dir int, v view) (out, other string) {
	t.Helper()
	var a, b bytes.Buffer
	v.out, v.err = &a, &b
	if err := v.files(dir, -1); err != nil {
		t.Fatal(err)
	}
	return a.String(), b.String()
}

// What is written is shown byte for byte, each stream on its own: lines longer than what
// is kept together, a last one without an end, bytes that are no text.
func TestKeepAndShow(t *testing.T) {
	long := strings.Repeat("x", 3*output.MaxLine+5)
	for _, text := range []string{"", "\n", "x", "one\ntwo\n", "no end", long, long + "\nrest\n", "\n\n", "a\x00b\xff \x1b[2J\n", "x\n" + long[:output.MaxLine], long[:output.MaxLine] + "\n"} {
		_, dir := directory(t)
		p := start(t, &file{dir: dir, max: 1 << 30})
		p.write(p.out, text)
		p.write(p.err, "E\n")
		p.end()
		if out, other := shown(t, dir, view{last: -1}); out != text || other != "E\n" {
			t.Errorf("%.40q: %.40q, %q", text, out, other)
		}
	}
}

func TestLast(t *testing.T) {
	_, dir := directory(t)
	p := start(t, &file{dir: dir, max: 1 << 30})
	long := strings.Repeat("x", 2*output.MaxLine+5)
	p.write(p.out, "one\n"+long+"\nthree")
	p.end()
	for last, want := range map[int]string{0: "", 1: "three", 2: long + "\nthree", 3: "one\n" + long + "\nthree", 9: "one\n" + long + "\nthree"} {
		if got, _ := shown(t, dir, view{last: last}); got != want {
			t.Errorf("last %d: %.40q", last, got)
		}
	}
	stamped, _ := shown(t, dir, view{last: -1, times: true})
	for _, line := range strings.Split(stamped, "\n") {
		if at, err := time.Parse(time.RFC3339Nano, strings.SplitN(line, " ", 2)[0]); err != nil || time.Since(at) > time.Minute {
			t.Errorf("%.60q: %v", line, err)
		}
	}
}

// Files are bounded, and what is left is the end.
func TestBounded(t *testing.T) {
	name, dir := directory(t)
	const most = 20000
	p := start(t, &file{dir: dir, max: most / 2})
	for i := range 10000 {
		p.write(p.out, fmt.Sprintf("line %d\n", i))
	}
	p.end()
	size := int64(0)
	for _, f := range []string{output.File, output.Before} {
		st, err := os.Stat(filepath.Join(name, f))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %o", f, st.Mode())
		}
		if st.Size() > most/2 {
			t.Errorf("%s: %d bytes", f, st.Size())
		}
		size += st.Size()
	}
	out, _ := shown(t, dir, view{last: -1})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if record := int64(len("2026-11-29T04:51:33.531699318Z stdout F line 9999\n")); int64(len(lines))*record < size {
		t.Errorf("%d lines are shown of %d bytes", len(lines), size)
	}
	if size > most || size < most/3 || lines[len(lines)-1] != "line 9999" || lines[0] != fmt.Sprintf("line %d", 10000-len(lines)) {
		t.Errorf("%d bytes, %d lines from %q to %q", size, len(lines), lines[0], lines[len(lines)-1])
	}
}

// writer is an io.Writer.
type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// Who follows sees all that comes, also when files are turned over meanwhile, and ends
// when who keeps the output does, of which a pipe tells here.
func TestFollow(t *testing.T) {
	_, dir := directory(t)
	ended, keeper, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ended.Close()
	p := start(t, &file{dir: dir, max: 10000})
	p.write(p.out, "before\n")
	var out bytes.Buffer
	begun := make(chan bool, 1000)
	followed := make(chan error, 1)
	go func() {
		v := view{out: writer(func(b []byte) (int, error) { begun <- true; return out.Write(b) }), last: -1, follow: true}
		followed <- v.files(dir, int(ended.Fd()))
	}()
	<-begun
	want := "before\n"
	for i := range 500 {
		line := fmt.Sprintf("line %d\n", i)
		p.write(p.out, line)
		want += line
		time.Sleep(100 * time.Microsecond)
	}
	p.end()
	keeper.Close()
	if err := <-followed; err != nil || out.String() != want {
		t.Errorf("%v: %d bytes, want %d", err, out.Len(), len(want))
	}
}

// Who follows ends with who asked, be that killed, and with who reads: also when nothing
// comes any more that could be written in vain.
func TestFollowForNobody(t *testing.T) {
	_, dir := directory(t)
	keeper, ends, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	defer ends.Close()
	asker, asked, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	followed := make(chan error, 1)
	go func() {
		v := view{last: -1, follow: true, callers: []int{int(asked.Fd())}}
		followed <- v.files(dir, int(keeper.Fd()))
	}()
	select {
	case err := <-followed:
		t.Fatalf("ended at once: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	asker.Close()
	select {
	case err := <-followed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it follows on")
	}
}

// A container that was removed meanwhile, or a full disk, does not stop its program.
func TestCannotKeep(t *testing.T) {
	name, dir := directory(t)
	p := start(t, &file{dir: dir, max: 1 << 20})
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	p.write(p.out, strings.Repeat("x\n", 1<<17))
	p.end()
}

// The journal is told whose a line is, and what it is; shown is what it exports.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	const instance = "0123456789abcdef0123456789abcdef"
	var exported bytes.Buffer
	read := make(chan error, 1)
	go func() {
		b := make([]byte, 1<<17)
		for range 4 {
			n, err := socket.Read(b)
			if err != nil {
				read <- err
				return
			}
			fmt.Fprintf(&exported, "__CURSOR=c%d\n__REALTIME_TIMESTAMP=1000001\n%s\n", n, b[:n])
		}
		read <- nil
	}()
	p := start(t, &journal{id: "web", instance: instance, path: path, socket: -1})
	long := strings.Repeat("x", output.MaxLine+1)
	p.write(p.out, "one\n")
	time.Sleep(50 * time.Millisecond)
	p.write(p.err, "bad\x00\xff\n")
	time.Sleep(50 * time.Millisecond)
	p.write(p.out, long+"\n")
	p.end()
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"CONTAINER_NAME=web\n", "CONTAINER_ID=0123456789ab\n", "CONTAINER_ID_FULL=" + instance + "\n", "SYSLOG_IDENTIFIER=web\n"} {
		if n := strings.Count(exported.String(), field); n != 4 {
			t.Errorf("%d times %q", n, field)
		}
	}
	var out, bad bytes.Buffer
	v := view{out: &out, err: &bad, last: -1, times: true}
	r := &reader{bufio.NewReader(&exported)}
	for range 4 {
		fields, err := r.entry()
		if err != nil {
			t.Fatal(err)
		}
		if err := v.line(lineOf(fields)); err != nil {
			t.Fatal(err)
		}
	}
	const at = "1970-01-01T00:00:01.000001000Z "
	if out.String() != at+"one\n"+at+long+"\n" || bad.String() != at+"bad\x00\xff\n" {
		t.Errorf("%.80q, %q", out.String(), bad.String())
	}
}

// However many lines are asked for, journalctl is asked for no more than it can count.
func TestManyLines(t *testing.T) {
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte("#!/bin/sh\nprintf '%s ' \"$@\" >>"+asked+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for last, want := range map[int]string{99999999999: " --lines=2147483647 ", 2147483648: " --lines=2147483647 ", 0: " --lines=0 ", 7: " --lines=7 ", -1: ""} {
		v := view{out: io.Discard, err: io.Discard, last: last}
		if err := v.journal("0"); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(asked)
		if err != nil || want == "" && strings.Contains(string(text), "--lines") || !strings.Contains(string(text), want) {
			t.Errorf("%d lines: %q, %v", last, text, err)
		}
		if err := os.Remove(asked); err != nil {
			t.Fatal(err)
		}
	}
}

// What journalctl does not finish is no entry.
func TestCutEntry(t *testing.T) {
	for _, text := range []string{"", "A=b\n", "A=b\nMESSAGE\n\x05\x00\x00\x00\x00\x00\x00\x00ab", "MESSAGE\n\x01", "MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff"} {
		r := &reader{bufio.NewReader(strings.NewReader(text))}
		if fields, err := r.entry(); err == nil {
			t.Errorf("%q: %v", text, fields)
		}
	}
}

// keepVariable is set in the process that TestKeepsNothingElse starts.
const keepVariable = "HOMERUN_LOG_TEST_KEEP"

// Who keeps has none of the descriptors that homerun's caller has left open: a pipe that
// somebody reads up to its end would not end before the container.
func TestKeepsNothingElse(t *testing.T) {
	if os.Getenv(keepVariable) != "" {
		if err := run([]string{output.Keep, output.Files, "web", "1000"}); err != nil {
			t.Fatal(err)
		}
		return
	}
	p := [3]struct{ read, write *os.File }{} // the program's output and errors, and what was leaked
	for i := range p {
		var err error
		if p[i].read, p[i].write, err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
		defer p[i].read.Close()
		defer p[i].write.Close()
	}
	name, _ := directory(t)
	dir, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), keepVariable+"=1")
	cmd.ExtraFiles = []*os.File{dir, p[0].read, p[1].read, p[2].write}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p[2].write.Close()
	_ = p[2].read.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := p[2].read.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("what was leaked is open: %d, %v", n, err)
	}
	if _, err := p[0].write.WriteString("said\n"); err != nil {
		t.Error(err)
	}
	p[0].write.Close()
	p[1].write.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(name, output.File)); err != nil || !strings.HasSuffix(string(text), " F said\n") {
		t.Errorf("%q, %v", text, err)
	}
}

// It does nothing for who starts it by hand.
func TestArguments(t *testing.T) {
	for n := range 4 {
		if err := run(strings.Fields(strings.Repeat("x ", n))); err == nil || !strings.Contains(err.Error(), "is started by homerun") {
			t.Errorf("%s arguments: %v", strconv.Itoa(n), err)
		}
	}
}

// TestTurnedOver: what was turned over is shown, also before there is anything after it.
func TestTurnedOver(t *testing.T) {
	name, dir := directory(t)
	text := output.Line{Time: time.Now(), Stream: output.Stdout, Text: []byte("before")}.Append(nil)
	if err := os.WriteFile(filepath.Join(name, output.Before), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := shown(t, dir, view{last: -1}); out != "before\n" {
		t.Errorf("%q", out)
	}
}
