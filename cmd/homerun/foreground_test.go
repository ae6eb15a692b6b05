package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// pty opens a pseudo terminal. The slave writes what it is told, and no more.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	modes, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	modes.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, modes); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// TestShowUntilEnd: once the process has ended, its last words are shown, all of
// them, and the relay ends whether the terminal is closed, or somebody else has
// it open, says nothing, or does not cease to say something.
func TestShowUntilEnd(t *testing.T) {
	words := strings.Repeat("last words\n", 300) // less than a terminal's buffers
	for what, after := range map[string]func(slave *os.File){
		"closed": func(s *os.File) { s.Close() },
		"silent": func(*os.File) {},
		"flood": func(s *os.File) {
			go func() {
				for b := bytes.Repeat([]byte("y"), 4096); ; {
					if _, err := s.Write(b); err != nil {
						return
					}
				}
			}()
		},
	} {
		t.Run(what, func(t *testing.T) {
			master, slave := pty(t)
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			var ended [2]int
			if err := unix.Pipe2(ended[:], unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			defer unix.Close(ended[0])
			if _, err := slave.WriteString(words); err != nil {
				t.Fatal(err)
			}
			after(slave)
			unix.Close(ended[1])
			shown := make(chan string)
			go func() {
				text, _ := io.ReadAll(read)
				shown <- string(text)
			}()
			relayed, to, from := make(chan struct{}), int(write.Fd()), int(master.Fd())
			go func() {
				defer close(relayed)
				showUntilEnd(to, from, ended[0])
				write.Close()
			}()
			select {
			case text := <-shown:
				<-relayed
				if !strings.HasPrefix(text, words) || len(text) > len(words)+2*buffered {
					t.Errorf("%d bytes were shown: %.40q", len(text), text)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it does not end")
			}
		})
	}
}

// TestMain is also the process of TestBackground.
func TestMain(m *testing.M) {
	if os.Getenv("HOMERUN_TEST_RELAY") != "" {
		relay()
		return
	}
	os.Exit(m.Run())
}

// TestEndInput: the end of a file is typed again, for who was not there to read it, until the
// process has ended.
func TestEndInput(t *testing.T) {
	master, slave := pty(t)
	relay, done := &terminal{master: master}, make(chan struct{})
	go func() {
		defer close(done)
		relay.endInput(int(master.Fd()))
	}()
	for range 3 {
		if n, err := proc.Poll(t.Context(), []unix.PollFd{{Fd: int32(slave.Fd()), Events: unix.POLLIN}}, 5*time.Second); n != 1 {
			t.Fatalf("no end comes any more: %v", err)
		}
		if n, err := unix.Read(int(slave.Fd()), make([]byte, 10)); n != 0 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	relay.modes.Lock()
	relay.over = true
	relay.modes.Unlock()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}

// TestBackground: in the background of its terminal, where the kernel would stop it, a
// relay neither sets that nor reads it; it does once it is in the foreground. The container's
// has the same size from the beginning.
func TestBackground(t *testing.T) {
	for _, test := range []struct{ shell, want string }{
		{`"$0"; exit $?`, "raw raw as it was"},
		{`timeout 10 "$0"; exit $?`, "as it was raw as it was"}, // timeout makes it a group
	} {
		_, slave := pty(t)
		if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77}); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", test.shell, os.Args[0])
		cmd.Env = append(os.Environ(), "HOMERUN_TEST_RELAY=1")
		cmd.Stdin, cmd.SysProcAttr = slave, &syscall.SysProcAttr{Setsid: true, Setctty: true}
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		cmd.Stdout = write
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		write.Close()
		if err := read.SetReadDeadline(time.Now().Add(8 * time.Second)); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(read)
		if got := strings.Join(strings.Fields(string(text)), " "); got != test.want || err != nil {
			t.Errorf("%s: %q, want %q; %v", test.shell, got, test.want, err)
		}
		if err != nil {
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
	}
}

// relay is the process of TestBackground: it says how the terminal is set when the relay
// has begun, when it has come to the foreground, and after it.
func relay() {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		panic(err)
	}
	t, err := newTerminal(&container.Process{Terminal: master})
	if err != nil {
		panic(err)
	}
	if a, b := size(0), size(int(master.Fd())); a != b {
		fmt.Println("of another size:", a, b)
	}
	fmt.Println(modes())
	signal.Ignore(unix.SIGTTOU)
	if err := unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, unix.Getpgrp()); err != nil {
		panic(err)
	}
	for begun := time.Now(); modes() != "raw" && time.Since(begun) < 5*time.Second; time.Sleep(time.Millisecond) {
	}
	fmt.Println(modes())
	t.finish()
	fmt.Println(modes())
}

// size is that of a terminal, in rows and columns.
func size(fd int) [2]uint16 {
	s, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		panic(err)
	}
	return [2]uint16{s.Row, s.Col}
}

// modes says how the terminal is set.
func modes() string {
	if now, err := unix.IoctlGetTermios(0, unix.TCGETS); err != nil || now.Lflag&unix.ICANON == 0 {
		return "raw"
	}
	return "as it was"
}

// TestTypedKeys: a key that sends a signal ends a program that has no use for that and has the
// terminal for itself, which is asked before the key is passed on; nothing else does.
func TestTypedKeys(t *testing.T) {
	for key, c := range map[string]struct {
		set   string // of stty
		other bool   // somebody else has the terminal
		want  string
	}{
		"\x03":         {want: "SIGINT? end by SIGINT"},
		"\x1c":         {want: "SIGQUIT? end by SIGQUIT"},
		"make\x03":     {want: "SIGINT? end by SIGINT"},
		"a":            {},
		"\x00":         {set: "intr undef"},
		"\x03 no isig": {set: "-isig"},
		"\x03 a job's": {other: true},
	} {
		master, slave := pty(t)
		cmd := exec.Command("sh", "-c", "stty isig "+c.set+"; trap 'exit 9' INT QUIT; echo ready; while :; do sleep 0.01; done")
		cmd.Stdin, cmd.Stdout, cmd.SysProcAttr = slave, slave, &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := master.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		r := &recorder{drops: func() bool {
			time.Sleep(50 * time.Millisecond)
			var status unix.Siginfo
			if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &status, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil || status.Signo != 0 {
				t.Errorf("%q was passed on before it was asked: %v", key, err)
			}
			return true
		}}
		relay := &terminal{master: master, process: r, pid: cmd.Process.Pid}
		if c.other {
			relay.pid++
		}
		if !relay.typed(int(master.Fd()), []byte(key)) || strings.Join(r.asked, " ") != c.want {
			t.Errorf("%q: %q, want %q", key, r.asked, c.want)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
