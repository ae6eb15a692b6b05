package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal in which a runtime runs.
type terminal struct {
	master  *os.File
	slave   *os.File
	process *process
	saved   *unix.Termios
	done    chan struct{}

	mutex sync.Mutex
	shown bytes.Buffer
}

// cmdTerminal runs the bundle in a terminal of 24 rows and 80 columns, and plays
// the person before it:
//
//	tty run [ARG...]       start; TTY_PID is the runtime's process id
//	tty send TEXT          type; \n and other escapes of Go work
//	tty expect TEXT        wait until the text was shown; forget all up to its end
//	tty resize ROWS COLS   as a window's frame does
//	tty raw | tty cooked   the mode the terminal is in now
//	tty hangup STATUS      close the window, and wait for the end
//	tty finish STATUS      wait for the end; all that was not expected is stdout
func cmdTerminal(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) == 0, "tty VERB...")
	r := runnerOf(ts)
	if args[0] == "run" {
		r.ids++
		r.terminal = r.openTerminal(ts, r.runtime(ts, "run", append(args[1:], "c"+strconv.Itoa(r.ids))...))
		ts.Setenv("TTY_PID", strconv.Itoa(r.terminal.process.cmd.Process.Pid))
		return
	}
	if r.terminal == nil {
		ts.Fatalf("tty %s: there is no terminal", args[0])
	}
	switch verb := args[0]; {
	case verb == "send" && len(args) == 2:
		text, err := strconv.Unquote(`"` + args[1] + `"`)
		ts.Check(err)
		_, err = r.terminal.master.WriteString(text)
		ts.Check(err)
	case verb == "expect" && len(args) == 2:
		r.terminal.expect(ts, args[1])
	case verb == "resize" && len(args) == 3:
		ts.Check(r.terminal.resize(args[1], args[2]))
	case verb == "raw" || verb == "cooked":
		r.terminal.mode(ts, verb)
	case verb == "hangup" && len(args) == 2:
		ts.Check(r.terminal.master.Close())
		_, err := r.terminal.slave.WriteString("x") // it is closed when who reads it returns
		ts.Check(err)
		r.terminal.ends(ts, args[1])
		r.terminal = nil
	case verb == "finish" && len(args) == 2:
		r.terminal.finish(ts, args[1])
		r.terminal = nil
	default:
		ts.Fatalf("tty: unknown %q", args)
	}
}

// openTerminal starts a command in a new terminal, as a shell would.
func (r *runner) openTerminal(ts *script, line []string) *terminal {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	ts.Check(err)
	ts.Check(unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	ts.Check(err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	ts.Check(err)
	t := &terminal{master: master, slave: slave, done: make(chan struct{})}
	ts.Check(t.resize("24", "80"))
	t.saved, err = unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	ts.Check(err)
	t.process = r.spawn(ts, line, func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	})
	go t.read()
	ts.Defer(func() { slave.Close(); master.Close() })
	return t
}

// read keeps what is shown until the terminal ends.
func (t *terminal) read() {
	defer close(t.done)
	b := make([]byte, 4096)
	for {
		n, err := t.master.Read(b)
		t.mutex.Lock()
		t.shown.Write(b[:n])
		t.mutex.Unlock()
		if err != nil {
			return
		}
	}
}

func (t *terminal) text() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.shown.String()
}

func (t *terminal) expect(ts *script, want string) {
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		if before, _, ok := strings.Cut(t.text(), want); ok {
			t.mutex.Lock()
			t.shown.Next(len(before) + len(want))
			t.mutex.Unlock()
			return
		}
	}
	ts.Fatalf("the terminal does not show %q but\n%s", want, t.text())
}

func (t *terminal) resize(rows, columns string) error {
	r, err := strconv.ParseUint(rows, 10, 16)
	if err != nil {
		return err
	}
	c, err := strconv.ParseUint(columns, 10, 16)
	if err != nil {
		return err
	}
	return unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(r), Col: uint16(c)})
}

// mode compares the local flags with those of raw mode.
func (t *terminal) mode(ts *script, want string) {
	const cooked = unix.ICANON | unix.ECHO | unix.ISIG
	for limit := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		now, err := unix.IoctlGetTermios(int(t.master.Fd()), unix.TCGETS)
		ts.Check(err)
		got := "raw"
		if now.Lflag&cooked != 0 {
			got = "cooked"
		}
		if got == want {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("the terminal is %s, not %s", got, want)
		}
	}
}

// ends waits for the runtime's end.
func (t *terminal) ends(ts *script, status string) {
	select {
	case err := <-t.process.ended:
		if got := strconv.Itoa(exitStatus(err)); got != status {
			ts.Fatalf("exit status %s, want %s (%v); the terminal shows\n%s", got, status, err, t.text())
		}
	case <-time.After(20 * time.Second):
		ts.Fatalf("the runtime does not end; the terminal shows\n%s", t.text())
	}
}

// finish waits for the end and wants the terminal as it was before.
func (t *terminal) finish(ts *script, status string) {
	t.ends(ts, status)
	now, err := unix.IoctlGetTermios(int(t.master.Fd()), unix.TCGETS)
	ts.Check(err)
	if *now != *t.saved {
		ts.Fatalf("the terminal's mode is not what it was: %+v, want %+v", now, t.saved)
	}
	time.Sleep(20 * time.Millisecond) // until what was written last is read
	ts.Stdout().Write([]byte(t.text()))
}
