package bus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// godbus codes the messages. They travel by our own few lines, since each start waits
// for them: godbus's connection asks five times before the first call, and reads in a
// goroutine, each wake-up of which is one of a thread. Here a single write says all
// of the handshake, the Hello and the first call, none of which depends on an answer
// (D-Bus Specification, "Authentication Protocol"; sd-bus does so, too); and who needs
// an answer reads it. Nothing waits without a limit.

// maxMessage is the longest message that is read, in bytes. A manager's answers have
// some hundred.
const maxMessage = 1 << 20

// maxLine is the longest line of a handshake.
const maxLine = 4096

// errLost says that the other side, or we, have closed the connection.
var errLost = errors.New("the connection to the service manager was lost")

// errEnded says that the process that somebody waited for the manager with has ended.
var errEnded = errors.New("its process has ended")

// wire is a connection. It is for one goroutine at a time.
type wire struct {
	fd     int
	serial uint32
	// unsent goes before what is sent next.
	unsent []byte
	// in was received and not read yet; buffer is where it lies.
	in     []byte
	buffer [4096]byte
	// ends is a pidfd, or nothing: who waits for more gives up when that process ends.
	ends []unix.PollFd
}

// authentication has no identity: see the package's comment.
const authentication = "\x00AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"

// methodCall is a method call. Nobody is started for it: where systemd is not on the bus,
// its entry for that only says so.
func methodCall(destination string, path dbus.ObjectPath, name string, body ...any) *dbus.Message {
	dot := strings.LastIndexByte(name, '.')
	m := &dbus.Message{Type: dbus.TypeMethodCall, Flags: dbus.FlagNoAutoStart, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(path), dbus.FieldDestination: dbus.MakeVariant(destination),
		dbus.FieldInterface: dbus.MakeVariant(name[:dot]), dbus.FieldMember: dbus.MakeVariant(name[dot+1:])}}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	return m
}

// add codes a message behind others. The serial number, which is the connection's
// matter, has its place in the header: D-Bus Specification, "Message Format".
func (w *wire) add(out *bytes.Buffer, m *dbus.Message) (serial uint32, err error) {
	start := out.Len()
	if err := m.EncodeTo(out, binary.LittleEndian); err != nil {
		return 0, err
	}
	w.serial++
	binary.LittleEndian.PutUint32(out.Bytes()[start+8:], w.serial)
	return w.serial, nil
}

// write sends bytes, the first of them with descriptors.
func (w *wire) write(ctx context.Context, data []byte, fds ...int) error {
	data, w.unsent = append(w.unsent, data...), nil
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for deadline := time.Now().Add(callLimit); len(data) > 0; {
		n, err := unix.SendmsgN(w.fd, data, rights, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			data, rights = data[n:], nil
		case unix.EINTR:
		case unix.EAGAIN:
			if err := w.await(ctx, unix.POLLOUT, deadline); err != nil {
				return err
			}
		case unix.EPIPE, unix.ECONNRESET, unix.EBADF:
			return errLost
		default:
			return err
		}
	}
	return nil
}

// await waits until the socket can be read or written.
func (w *wire) await(ctx context.Context, event int16, deadline time.Time) error {
	fds := append([]unix.PollFd{{Fd: int32(w.fd), Events: event}}, w.ends...)
	n, err := proc.Poll(ctx, fds, max(time.Until(deadline), 0))
	switch {
	case err != nil:
		return err
	case n == 0:
		return context.DeadlineExceeded
	case fds[0].Revents == 0:
		return errEnded
	}
	return nil
}

// fill receives more. What was received stays where it is in w.in.
func (w *wire) fill(ctx context.Context, deadline time.Time) error {
	if len(w.in) == 0 {
		w.in = w.buffer[:0]
	}
	if len(w.in) == cap(w.in) {
		w.in = append(make([]byte, 0, 2*len(w.in)+len(w.buffer)), w.in...)
	}
	for {
		n, err := unix.Read(w.fd, w.in[len(w.in):cap(w.in)])
		switch {
		case err == unix.EAGAIN:
			if err := w.await(ctx, unix.POLLIN, deadline); err != nil {
				return err
			}
		case err == unix.EINTR:
		case err == unix.ECONNRESET, err == unix.EBADF, err == nil && n == 0:
			return errLost
		case err != nil:
			return err
		default:
			w.in = w.in[:len(w.in)+n]
			return nil
		}
	}
}

// line reads a line of the handshake, without its end.
func (w *wire) line(ctx context.Context, deadline time.Time) (string, error) {
	for {
		if text, rest, found := bytes.Cut(w.in, []byte("\r\n")); found {
			w.in = rest
			return string(text), nil
		}
		if len(w.in) > maxLine {
			return "", errors.New("it does not speak D-Bus")
		}
		if err := w.fill(ctx, deadline); err != nil {
			return "", err
		}
	}
}

// authenticated reads the answers to authentication. A side that takes no descriptors
// says ERROR to the third.
func (w *wire) authenticated(ctx context.Context, deadline time.Time) (takesFDs bool, err error) {
	for _, want := range [...]string{"DATA", "OK", ""} {
		text, err := w.line(ctx, deadline)
		if err != nil {
			return false, err
		}
		word, _, _ := strings.Cut(text, " ")
		if want != "" && word != want {
			return false, errors.New("it refuses the user, or does not speak D-Bus")
		}
		takesFDs = word == "AGREE_UNIX_FD"
	}
	return takesFDs, nil
}

// headerLength is that of the fixed part of a message, which ends with the length of
// the rest of its header.
const headerLength = 16

// receive reads a message. An error leaves nothing to go on with, but that of the
// deadline or of ctx.
func (w *wire) receive(ctx context.Context, deadline time.Time) (*dbus.Message, error) {
	for {
		length, err := messageLength(w.in)
		if err != nil {
			return nil, err
		}
		if len(w.in) >= length {
			message, err := dbus.DecodeMessage(bytes.NewReader(w.in[:length]))
			w.in = w.in[length:]
			return message, err
		}
		if err := w.fill(ctx, deadline); err != nil {
			return nil, err
		}
	}
}

// messageLength is how many bytes the message at the start of data has, or has at
// least while not enough of it is there.
func messageLength(data []byte) (int, error) {
	if len(data) < headerLength {
		return headerLength, nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if data[0] == 'B' {
		order = binary.BigEndian
	}
	body, header := order.Uint32(data[4:]), order.Uint32(data[12:])
	if body > maxMessage || header > maxMessage {
		return 0, fmt.Errorf("a message of more than %d bytes: %w", maxMessage, io.ErrShortBuffer)
	}
	return headerLength + (int(header)+7)/8*8 + int(body), nil
}

func (w *wire) close() { descriptor.Close(&w.fd) }
