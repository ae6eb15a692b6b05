package seccomp

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what sockaddr_un holds besides the final NUL (unix(7)).
const maxSocketPath = 107

// sendTimeout bounds, in seconds, how long a receiver that does not read may
// hold up the container's start.
const sendTimeout = 10

// State is what the receiver of a listener learns about the container: the
// members of the container process state (runtime specification 1.3.0,
// config-linux.md, "The Container Process State").
type State struct {
	OCIVersion  string
	ID          string
	Status      string // "creating" while init is being set up
	PID         int    // of the process under the filter, as the runtime sees it
	InitPID     int    // of the container's init; 0 when that is PID
	Bundle      string
	Annotations map[string]string
	Metadata    string // linux.seccomp.listenerMetadata
}

// Message gives the JSON text that goes with the listener.
func (s State) Message() []byte {
	initPID := s.InitPID
	if initPID == 0 {
		initPID = s.PID
	}
	b := append([]byte(`{"ociVersion":`), quote(s.OCIVersion)...)
	b = append(b, `,"fds":["seccompFd"],"pid":`...)
	b = strconv.AppendInt(b, int64(s.PID), 10)
	if s.Metadata != "" {
		b = append(append(b, `,"metadata":`...), quote(s.Metadata)...)
	}
	b = append(append(b, `,"state":{"ociVersion":`...), quote(s.OCIVersion)...)
	b = append(append(b, `,"id":`...), quote(s.ID)...)
	b = append(append(b, `,"status":`...), quote(s.Status)...)
	b = strconv.AppendInt(append(b, `,"pid":`...), int64(initPID), 10)
	b = append(append(b, `,"bundle":`...), quote(s.Bundle)...)
	return append(s.appendAnnotations(b), "}}"...)
}

func (s State) appendAnnotations(b []byte) []byte {
	if len(s.Annotations) == 0 {
		return b
	}
	var pairs []string
	for k, v := range s.Annotations {
		pairs = append(pairs, quote(k)+":"+quote(v))
	}
	sort.Strings(pairs)
	return append(append(append(b, `,"annotations":{`...), strings.Join(pairs, ",")...), '}')
}

// quote gives s as a JSON string (RFC 8259). Bytes that are not UTF-8 become
// U+FFFD.
func quote(s string) string {
	const hex = "0123456789abcdef"
	b := append(make([]byte, 0, len(s)+2), '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
}

// Dial connects to the AF_UNIX stream socket at path, linux.seccomp's
// listenerPath, for SendTo. The caller closes the socket.
func Dial(path string) (socket int, err error) {
	socket, err = dial(path)
	if err != nil {
		return -1, fmt.Errorf("seccomp: connect to %q (linux.seccomp.listenerPath): %w", path, err)
	}
	return socket, nil
}

func dial(path string) (int, error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: sendTimeout})
	if err == nil {
		err = connect(socket, path)
	}
	if err != nil {
		unix.Close(socket)
		return -1, err
	}
	return socket, nil
}

// SendTo sends the container process state with the listener, whose descriptor
// is fd, as SCM_RIGHTS (unix(7)) to the socket that Dial(path) gave. Both stay
// open. It must run in a process that does not have the filter. A receiver that
// does not read holds it up for 10 seconds at most.
func SendTo(socket int, path string, fd int, s State) error {
	if err := send(socket, fd, s.Message()); err != nil {
		return fmt.Errorf("seccomp: send the listener to %q (linux.seccomp.listenerPath): %w", path, err)
	}
	return nil
}

// SendListener is Dial and SendTo.
func SendListener(path string, fd int, s State) error {
	socket, err := Dial(path)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	return SendTo(socket, path, fd, s)
}

func send(socket, fd int, message []byte) error {
	// The descriptor goes with the first byte; the rest is a plain stream.
	n, err := retry(func() (int, error) {
		return unix.SendmsgN(socket, message, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
	})
	for err == nil && n < len(message) {
		message = message[n:]
		n, err = retry(func() (int, error) { return unix.SendmsgN(socket, message, nil, nil, unix.MSG_NOSIGNAL) })
	}
	return err
}

// connect takes paths of any length: a longer one than sockaddr_un holds goes
// through its directory's descriptor.
func connect(socket int, path string) error {
	if path == "" || path[0] == '@' {
		return errors.New("not a path") // '@' would mean the abstract name space
	}
	if len(path) <= maxSocketPath {
		return unix.Connect(socket, &unix.SockaddrUnix{Name: path})
	}
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 {
		return unix.ENAMETOOLONG
	}
	dir, err := unix.Open(path[:slash+1], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return unix.Connect(socket, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d%s", dir, path[slash:])})
}
