package plan

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// PidfdOpen opens a descriptor of a process, closed at execve: pidfd_open(2),
// Linux 5.3. It becomes readable when the process ends.
type PidfdOpen struct{ PID Ref }

// Call implements Operation.
func (o PidfdOpen) Call() Call {
	return Call{"pidfd_open", unix.SYS_PIDFD_OPEN, []Arg{ref(o.PID), number(0)}}
}

// PidfdSendSignal sends a signal to the process that a descriptor is of:
// pidfd_send_signal(2), Linux 5.1.
type PidfdSendSignal struct {
	FD     Ref
	Signal int
}

// Call implements Operation.
func (o PidfdSendSignal) Call() Call {
	signal := flags(o.Signal, func(n int64) string { return signalName(int(n)) })
	return Call{"pidfd_send_signal", unix.SYS_PIDFD_SEND_SIGNAL, []Arg{ref(o.FD), signal, null(), number(0)}}
}

// Accept4 takes a connection, closed at execve: accept(2).
type Accept4 struct{ FD Ref }

// Call implements Operation.
func (o Accept4) Call() Call {
	show := func(int64) string { return "SOCK_CLOEXEC" }
	return Call{"accept4", unix.SYS_ACCEPT4, []Arg{ref(o.FD), null(), null(), flags(unix.SOCK_CLOEXEC, show)}}
}

// DuplicateFD copies a descriptor to the lowest free number from From on,
// closed at execve: fcntl(2), F_DUPFD_CLOEXEC.
type DuplicateFD struct {
	FD   Ref
	From int
}

// Call implements Operation.
func (o DuplicateFD) Call() Call {
	show := func(int64) string { return "F_DUPFD_CLOEXEC" }
	return Call{"fcntl", unix.SYS_FCNTL, []Arg{ref(o.FD), flags(unix.F_DUPFD_CLOEXEC, show), number(o.From)}}
}

// RecvSignal takes the record that a Signal of the same plan wrote to a socket,
// and keeps its value, without waiting for one: recv(2). Want must be 8.
type RecvSignal struct {
	FD    Ref
	Value Slot
}

// Call implements Operation.
func (o RecvSignal) Call() Call {
	m := &Memory{Bytes: make([]byte, 8), Mutable: true, Cells: []Cell{{Offset: 4, Slot: o.Value, Out: true}}}
	m.Show = func(name func(Ref) string) string { return "{value=" + name(o.Value.Ref()) + "}" }
	show := func(int64) string { return "MSG_DONTWAIT" }
	return Call{"recvfrom", unix.SYS_RECVFROM, []Arg{
		ref(o.FD), memory(m), number(8), flags(unix.MSG_DONTWAIT, show), null(), null()}}
}

// Ppoll waits until one of the descriptors can be read, or for Timeout, which
// when 0 is without end: poll(2). The result is how many can be read. Of Ends only
// the end counts, when nobody has the other side any more.
type Ppoll struct {
	FDs     []int
	Ends    []int
	Timeout time.Duration
}

// Call implements Operation.
func (o Ppoll) Call() Call {
	var b []byte
	for _, fd := range o.FDs {
		b = append(b, halves(uint32(fd), unix.POLLIN)...)
	}
	for _, fd := range o.Ends {
		b = append(b, halves(uint32(fd), 0)...)
	}
	fds := fixed(b, o.show)
	fds.Mutable = true
	timeout := null()
	if o.Timeout != 0 {
		timeout = memory(timespec(o.Timeout))
	}
	return Call{"ppoll", unix.SYS_PPOLL, []Arg{memory(fds), number(len(o.FDs) + len(o.Ends)), timeout, null(), number(0)}}
}

// show prints the array of descriptors.
func (o Ppoll) show() string {
	var list []string
	for _, fd := range o.FDs {
		list = append(list, "{fd="+strconv.Itoa(fd)+", events=POLLIN}")
	}
	for _, fd := range o.Ends {
		list = append(list, "{fd="+strconv.Itoa(fd)+", events=0}")
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// timespec is a struct timespec; the kernel writes what is left of it.
func timespec(d time.Duration) *Memory {
	s, ns := uint64(d/time.Second), uint64(d%time.Second)
	m := fixed(words(s, ns), func() string {
		return "{tv_sec=" + strconv.FormatUint(s, 10) + ", tv_nsec=" + strconv.FormatUint(ns, 10) + "}"
	})
	m.Mutable = true
	return m
}
