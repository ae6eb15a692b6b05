package security

import (
	"bytes"
	"context"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// heard is a datagram that the service manager got.
type heard struct {
	text        string
	descriptors int
}

// listenManager plays a service manager: the socket that a caller's
// NOTIFY_SOCKET names, and what came to it until the end.
func listenManager(t *testing.T, c caller) (socket string, hear func() []heard) {
	t.Helper()
	socket = w.path("notify-" + c.name)
	os.Remove(socket)
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	must(t, os.Chmod(socket, 0o777))
	t.Cleanup(func() { l.Close(); os.Remove(socket) })
	messages := make(chan heard, 100)
	go func() {
		defer close(messages)
		for {
			text, control := make([]byte, 1<<16), make([]byte, 4096)
			n, on, _, _, err := l.ReadMsgUnix(text, control)
			if err != nil {
				return
			}
			messages <- heard{string(text[:n]), closeAll(control[:on])}
		}
	}()
	return socket, func() (all []heard) {
		l.SetReadDeadline(time.Now().Add(2 * time.Second))
		for m := range messages {
			if all = append(all, m); m.text == "BARRIER=1" {
				break // homerun's own, after which it ends
			}
		}
		return all
	}
}

// closeAll closes the descriptors in a control message, and counts them.
func closeAll(control []byte) (n int) {
	messages, _ := unix.ParseSocketControlMessage(control)
	for _, m := range messages {
		fds, _ := unix.ParseUnixRights(&m)
		for _, fd := range fds {
			unix.Close(fd)
			n++
		}
	}
	return n
}

// notified runs a container whose program sends these messages and ends, and
// returns what the manager got.
func notified(t *testing.T, c caller, messages ...string) []heard {
	t.Helper()
	socket, hear := listenManager(t, c)
	args := []string{"notify"}
	for _, m := range messages {
		args = append(args, strconv.Quote(m))
	}
	b := newBundle(t, c, args...)
	b.save()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := c.command(ctx, "run", "-b", b.dir, b.id())
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("run: %v, %s", err, stderr.String())
	}
	return hear()
}

// TestNotifyFilter: a program in a container may report about itself, and makes
// the service manager neither take another process for the main one, nor listen
// to others, nor keep its files. A manager splits messages at \n and \r, and
// takes a backslash for an escape. Neighbours that were tried: control characters
// that others split at (\v, \f, NEL), NUL, a backslash that joins two lines, keys
// in other cases and with blanks.
func TestNotifyFilter(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		got := notified(t, c,
			"READY=1\rMAINPID=1",
			"X=1\rNOTIFYACCESS=all",
			"STATUS=a\r\nMAINPID=1\n\rNOTIFYACCESS=all\r",
			"MAIN\\PID=1\nNOTIFY\\ACCESS=all",
			"STATUS=b\\\nMAINPID=1\nERRNO=1",
			"FDSTORE=1\nFDNAME=x\nERRNO=2",
			"STATUS=c\vMAINPID=1\nERRNO=3",
			"STATUS=\x1b]0;owned\a\nERRNO=4",
			"STATUS=d\x00MAINPID=1",
			"ERRNO=6\nSTATUS="+strings.Repeat("x", 5000),
			"STOPPING=1\nERRNO=5")
		var texts []string
		for _, m := range got {
			texts = append(texts, m.text[:min(len(m.text), 40)])
			if m.descriptors > 0 && m.text != "BARRIER=1" {
				t.Errorf("the manager got %d descriptors with %.40q", m.descriptors, m.text)
			}
		}
		want := []string{"READY=1", "STATUS=a", "ERRNO=1", "ERRNO=2", "ERRNO=3", "ERRNO=4", "STOPPING=1\nERRNO=5", "BARRIER=1"}
		if !slices.Equal(texts, want) {
			t.Errorf("the manager got\n%q, want\n%q", texts, want)
		}
	})
}

// TestNotifyLastWords: what a program says just before it ends comes through.
func TestNotifyLastWords(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		for range 10 {
			got := notified(t, c, "READY=1", "STOPPING=1\nERRNO=7")
			if len(got) < 2 || got[0].text != "READY=1" || got[1].text != "STOPPING=1\nERRNO=7" {
				t.Fatalf("the manager got %+v", got)
			}
		}
	})
}
