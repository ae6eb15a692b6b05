package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/homerun-oci/homerun/cmd/homerun/early"
	"github.com/homerun-oci/homerun/container"
	"golang.org/x/sys/unix"
)

// handOver is how long a program runs before os/signal takes over without a signal. A program has the time of
// firstLook to say what it does with signals: none is passed on before. After that os/signal takes over
// when a signal interrupts who waits for the program. One that interrupts another thread waits for the
// next look, each nextLook.
const (
	handOver  = 100 * time.Millisecond
	firstLook = 10 * time.Millisecond
	nextLook  = 30 * time.Millisecond
)

// processors is how many Go has once os/signal has taken over, so that a signal need not wait
// until the system call of who waits for the program is noticed, which takes up to entrySlack.
// With a terminal what is typed, and what is shown, have one each.
const (
	processors         = 2
	terminalProcessors = 4
)

// follow waits for a process, passing on all signals and, with a terminal, what
// is typed and shown.
func follow(ctx context.Context, p *container.Process, signals *signals) (int, error) {
	if p.Terminal == nil && signals.endsBeforeHandOver(p.EndsWithin) {
		return p.Wait(ctx)
	}
	if p.Terminal != nil {
		// Before there are goroutines that keep a processor during a system call: with a single
		// one the others would wait for it.
		spareSlack()
		runtime.GOMAXPROCS(terminalProcessors)
	}
	t, err := newTerminal(p)
	if err != nil {
		return 0, err
	}
	signals.passTo(func(n os.Signal) { signals.forward(n, p, t) })
	if p.Terminal == nil {
		// Give way to the goroutine that passes them on, until it waits. Else the new processor's
		// thread takes it over, and is late (spareSlack): nothing but that time is lost without.
		runtime.Gosched()
		runtime.GOMAXPROCS(processors)
	}
	defer time.AfterFunc(longRun, release).Stop()
	status, err := p.Wait(ctx)
	t.finish()
	return status, err
}

// endsBeforeHandOver waits for a process until os/signal is to take over, and reports whether it has ended.
func (s *signals) endsBeforeHandOver(endsWithin func(context.Context, time.Duration) bool) bool {
	end := time.Now().Add(handOver)
	if endsWithin(context.Background(), firstLook) {
		return true
	}
	s.catchAll()
	quiet := untilSignal{context.Background(), s.caught}
	for !s.handed.Load() && quiet.Err() == nil && time.Now().Before(end) {
		if endsWithin(quiet, nextLook) {
			return true
		}
	}
	return false
}

// untilSignal is a context that has an error once a signal has come. Nothing wakes who waits for its end.
type untilSignal struct {
	context.Context
	caught *early.Signals
}

func (u untilSignal) Err() error {
	if u.caught.Any() {
		return context.Canceled
	}
	return u.Context.Err()
}

// terminal relays between the caller's terminal and the container's.
type terminal struct {
	master  *os.File
	process receiver
	pid     int // the process's
	output  sync.WaitGroup
	// modes guards saved, what the caller's terminal was set to, and over: it is not
	// to be set any more.
	modes sync.Mutex
	saved *unix.Termios
	over  bool
	// ended is a pipe whose one end is closed when the process has ended.
	ended [2]int
}

// newTerminal starts the relay; with no terminal it does nothing.
func newTerminal(p *container.Process) (*terminal, error) {
	t := &terminal{master: p.Terminal, process: p, pid: p.Pid}
	if t.master == nil {
		return t, nil
	}
	fd := int(t.master.Fd())
	if err := unix.Pipe2(t.ended[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	t.resize()
	if inForeground() {
		t.raw()
	}
	t.output.Add(1)
	go func() {
		defer t.output.Done()
		showUntilEnd(1, fd, t.ended[0])
	}()
	go t.relayInput(fd)
	return t, nil
}

// relayInput relays what is typed, once that is for this process. The kernel stops who
// reads or sets a terminal in the background, again and again, whatever other signals
// come: tty_ioctl(4), "Job control".
func (t *terminal) relayInput(to int) {
	for ; !inForeground(); time.Sleep(foregroundInterval) {
	}
	t.raw()
	copyUntilEnd(0, func(b []byte) bool { return t.typed(to, b) })
	if !isTerminal(0) { // the end of one ends the program otherwise
		t.endInput(to)
	}
}

// endInput types the end of a file, for that of standard input has come: termios(3),
// VEOF. A file's end is there whenever one reads; what is typed is read once, ends a
// line where there is half a one, and is lost when a shell takes the terminal's modes
// over. So it is typed some times more, ever later: a service that has a terminal, and
// reads nothing, is left in peace.
func (t *terminal) endInput(to int) {
	for pause := foregroundInterval; pause < 10*time.Second; pause *= 2 {
		modes, err := unix.IoctlGetTermios(to, unix.TCGETS)
		t.modes.Lock()
		over := t.over
		t.modes.Unlock()
		if err != nil || over || !writeAll(to, modes.Cc[unix.VEOF:unix.VEOF+1]) {
			return
		}
		time.Sleep(pause)
	}
}

// typed gives the container's terminal what is typed. A key that sends a signal ends a
// program that has the terminal for itself, as it would outside.
func (t *terminal) typed(to int, b []byte) bool {
	s := signalTyped(to, b)
	group, err := unix.IoctlGetInt(to, unix.TIOCGPGRP)
	ends := s != 0 && err == nil && group == t.pid && t.process.Drops(s)
	written := writeAll(to, b)
	if ends {
		t.process.EndBy(s)
	}
	return written
}

// signalTyped is the signal that a terminal makes of what is typed, or 0:
// termios(3), ISIG.
func signalTyped(terminal int, b []byte) unix.Signal {
	modes, err := unix.IoctlGetTermios(terminal, unix.TCGETS)
	if err != nil || modes.Lflag&unix.ISIG == 0 {
		return 0
	}
	for _, c := range b {
		switch {
		case c == 0: // a key that is not there
		case c == modes.Cc[unix.VINTR]:
			return unix.SIGINT
		case c == modes.Cc[unix.VQUIT]:
			return unix.SIGQUIT
		}
	}
	return 0
}

// foregroundInterval is between looks: nothing tells a process that it comes to the
// foreground, unless it was stopped. TIOCSPGRP in ioctl_tty(2) sends no signal, and
// poll(2) tells those in the background of what is typed for others.
const foregroundInterval = 100 * time.Millisecond

// inForeground reports whether this process may read standard input: it is not in the
// background of the terminal that it is on.
func inForeground() bool {
	group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// resize gives the container's terminal the size of the caller's.
func (t *terminal) resize() {
	if t.master == nil {
		return
	}
	if size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil {
		_ = unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, size)
	}
}

// raw leaves all editing of lines to the container's terminal.
func (t *terminal) raw() {
	t.modes.Lock()
	defer t.modes.Unlock()
	saved, err := unix.IoctlGetTermios(0, unix.TCGETS)
	if err != nil || t.saved != nil || t.over {
		return
	}
	t.saved = saved
	raw := *saved
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	_ = unix.IoctlSetTermios(0, unix.TCSETS, &raw)
}

// finish shows what the container still wrote, and gives the caller's terminal
// back as it was.
func (t *terminal) finish() {
	if t.master == nil {
		return
	}
	unix.Close(t.ended[1])
	t.output.Wait()
	unix.Close(t.ended[0])
	t.modes.Lock()
	defer t.modes.Unlock()
	if t.over = true; t.saved != nil {
		_ = unix.IoctlSetTermios(0, unix.TCSETS, t.saved)
	}
}

const (
	// buffered is more than a terminal's buffers hold, in bytes.
	buffered = 64 << 10
	// onItsWay is how long, in milliseconds, the kernel may take to bring what is in
	// them from one end to the other.
	onItsWay = 50
)

// showUntilEnd shows what a terminal says, until nobody has it any more. Who
// stays behind in the container may have it open for ever, and say more: once
// ended has ended, what the process can have said is shown, and no more.
func showUntilEnd(to, terminal, ended int) {
	b := make([]byte, 32<<10)
	for left, limit := buffered, -1; left > 0; {
		fds := []unix.PollFd{{Fd: int32(terminal), Events: unix.POLLIN}, {Fd: int32(ended), Events: unix.POLLIN}}
		if limit >= 0 {
			fds[1].Fd = -1
		}
		n, err := unix.Poll(fds, limit)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case n <= 0:
			return
		case fds[1].Revents != 0:
			limit = onItsWay
			continue
		}
		n, err = unix.Read(terminal, b)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if n <= 0 || err != nil || !writeAll(to, b[:n]) {
			return
		}
		if limit >= 0 {
			left -= n
		}
	}
}

// copyUntilEnd copies until the source ends: a terminal's end reads as EIO.
func copyUntilEnd(from int, write func([]byte) bool) {
	b := make([]byte, 32<<10)
	for {
		n, err := unix.Read(from, b)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if n <= 0 || err != nil || !write(b[:n]) {
			return
		}
	}
}

func writeAll(fd int, b []byte) bool {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return false
		}
		b = b[max(n, 0):]
	}
	return true
}
