package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/homerun-oci/homerun/container/output"
	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// journal shows what is in the journal of one container, by journalctl(1). One that
// follows never ends: when who keeps the output has ended, what is left is asked for
// once more.
func (v *view) journal(instance string) error {
	program, err := exec.LookPath("journalctl")
	if err != nil {
		return errors.New("the output is in the journal, and journalctl, which reads it, is not installed")
	}
	args := append([]string{program, "--quiet", "--no-pager", "--output=export", output.InstanceField + "=" + instance}, writtenBy(output.DirectoryFD)...)
	if !v.follow {
		if v.last >= 0 {
			args = append(args, lastEntries(v.last))
		}
		_, err := v.entries(args, nil)
		return err
	}
	lines := "--no-tail"
	if v.last >= 0 {
		lines = lastEntries(v.last)
	}
	cursor, err := v.entries(append(args, "--follow", lines), v.keeperEnds)
	if err != nil || v.forNobody() {
		return err
	}
	if cursor != "" {
		args = append(args, "--after-cursor="+cursor)
	}
	_, err = v.entries(args, nil)
	return err
}

// lastEntries asks for the last so many. journalctl counts to no more than an int32, which
// no journal comes to.
func lastEntries(n int) string { return "--lines=" + strconv.Itoa(min(n, math.MaxInt32)) }

// writtenBy asks for entries of the container's owner alone, which the journal itself has
// seen: whoever may read an instance could write others with it. In a user namespace
// the journal's number for the owner is not known.
func writtenBy(dir int) []string {
	text, err := os.ReadFile("/proc/self/uid_map")
	var st unix.Stat_t
	if err != nil || !slices.Equal(strings.Fields(string(text)), []string{"0", "0", "4294967295"}) || unix.Fstat(dir, &st) != nil {
		return nil
	}
	return []string{"_UID=" + strconv.FormatUint(uint64(st.Uid), 10)}
}

// keeperEnds waits for the end of who keeps the output, or of who wants to see it.
func (v *view) keeperEnds() {
	_, _ = v.awaitMore(-1, output.KeeperFD)
}

// entries shows the entries that journalctl prints, until it ends, or is ended when until
// returns. It returns the last one's cursor.
func (v *view) entries(args []string, until func()) (cursor string, err error) {
	cmd := exec.Command(args[0], args[1:]...)
	said := &reports{to: v.err}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	if until != nil {
		go func() {
			until()
			_ = cmd.Process.Kill() // ended, or will be
		}()
	}
	r := &reader{bufio.NewReader(out)}
	for err == nil {
		var fields map[string]string
		if fields, err = r.entry(); err == nil {
			said.pass() // it works, and may for days
			if err = v.line(lineOf(fields)); err == nil {
				cursor = fields["__CURSOR"]
			}
		}
	}
	ended := cmd.Wait()
	switch {
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return "", err
	case ended != nil && (until == nil || cmd.ProcessState.Exited()):
		return "", unread(said.held.String(), ended)
	}
	said.pass()
	return cursor, nil
}

// reports are what journalctl says on standard error. They are held, as the error of one
// that fails, until pass, and go to another writer from then on.
type reports struct {
	lock   sync.Mutex
	held   bytes.Buffer
	to     io.Writer
	passed bool
}

// Write implements io.Writer.
func (r *reports) Write(text []byte) (int, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.passed {
		return r.to.Write(text)
	}
	return r.held.Write(text)
}

// pass passes on what there is, and all that comes.
func (r *reports) pass() {
	r.lock.Lock()
	defer r.lock.Unlock()
	_, _ = r.to.Write(r.held.Bytes()) // that nobody reads it is no reason to end
	r.held.Reset()
	r.passed = true
}

// unread is the error of a journalctl that has failed: what it said, or else how it ended.
func unread(said string, ended error) error {
	said = strings.TrimSuffix(strings.TrimSpace(said), ".")
	e := &fault.Error{What: "journalctl", Why: cmp.Or(said, ended.Error()), Cause: ended}
	if strings.Contains(said, "insufficient permissions") {
		e.Hint = "members of the groups adm and systemd-journal may read the journal: sudo usermod -aG systemd-journal $USER, and log in again; " +
			"run -d --log-driver file keeps the output where you may read it"
	}
	return e
}

// lineOf is the line of an entry.
func lineOf(fields map[string]string) output.Line {
	l := output.Line{Stream: output.Stdout, Text: []byte(fields["MESSAGE"]), Part: fields[output.PartField] == "true"}
	if fields["PRIORITY"] == "3" {
		l.Stream = output.Stderr
	}
	l.Time = time.UnixMicro(number(fields["__REALTIME_TIMESTAMP"]))
	return l
}

// reader reads entries of the journal in its export format,
// https://systemd.io/JOURNAL_EXPORT_FORMATS.
type reader struct{ *bufio.Reader }

// entry reads an entry. One that is cut off is io.ErrUnexpectedEOF.
func (r *reader) entry() (map[string]string, error) {
	fields := map[string]string{}
	for {
		text, err := r.ReadString('\n')
		switch {
		case err != nil:
			return nil, err
		case text == "\n" && len(fields) == 0:
			continue
		case text == "\n":
			return fields, nil
		}
		name, value, isText := strings.Cut(text[:len(text)-1], "=")
		if !isText {
			if value, err = r.value(); err != nil {
				return nil, err
			}
		}
		fields[name] = value
	}
}

// mostBytes is more than a message of ours has.
const mostBytes = 1 << 20

// value reads a field of any bytes.
func (r *reader) value() (string, error) {
	var size [8]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	n := binary.LittleEndian.Uint64(size[:])
	if n > mostBytes {
		return "", fmt.Errorf("journalctl: a field of %d bytes", n)
	}
	text := make([]byte, n+1)
	_, err := io.ReadFull(r, text)
	return string(text[:n]), err
}
