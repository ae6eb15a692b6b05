package main

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

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
			go func() {
				showUntilEnd(int(write.Fd()), int(master.Fd()), ended[0])
				write.Close()
			}()
			select {
			case text := <-shown:
				if !strings.HasPrefix(text, words) || len(text) > len(words)+2*rest {
					t.Errorf("%d bytes were shown: %.40q", len(text), text)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it does not end")
			}
		})
	}
}
