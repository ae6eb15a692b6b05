package plan

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Ioctl is a device control whose argument is a number: ioctl(2).
type Ioctl struct {
	FD      Ref
	Request int
	Arg     int
}

// Call implements Operation.
func (o Ioctl) Call() Call {
	return Call{"ioctl", unix.SYS_IOCTL, []Arg{ref(o.FD), flags(o.Request, ioctls), flags(o.Arg, o.show)}}
}

// show prints the argument: for TIOCGPTPEER it is open flags.
func (o Ioctl) show(n int64) string {
	if o.Request == unix.TIOCGPTPEER {
		return openFlags(n)
	}
	return strconv.FormatInt(n, 10)
}

func ioctls(n int64) string {
	return table{
		{unix.TIOCGPTPEER, "TIOCGPTPEER"}, {unix.TIOCSCTTY, "TIOCSCTTY"},
	}.value(n)
}

// UnlockTerminal lets the other end of a pseudoterminal be opened:
// TIOCSPTLCK, ioctl_tty(2).
type UnlockTerminal struct{ FD Ref }

// Call implements Operation.
func (o UnlockTerminal) Call() Call {
	return Call{"ioctl", unix.SYS_IOCTL, []Arg{
		ref(o.FD), flags(unix.TIOCSPTLCK, func(int64) string { return "TIOCSPTLCK" }),
		memory(constant(halves(0), "[0]"))}}
}

// ClearONLCR lets a new terminal end lines in its output as the program does, with
// no carriage return before the line feed: TCSETS, ioctl_tty(2). All other modes
// are those that the kernel gives a pseudoterminal (tty_std_termios).
type ClearONLCR struct{ FD Ref }

// Call implements Operation.
func (o ClearONLCR) Call() Call {
	const (
		input   = unix.ICRNL | unix.IXON
		output  = unix.OPOST
		control = unix.B38400 | unix.CS8 | unix.CREAD
		local   = unix.ISIG | unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.IEXTEN | unix.ECHOCTL | unix.ECHOKE
	)
	b := append(halves(input, output, control, local), newTerminalCharacters[:]...)
	return Call{"ioctl", unix.SYS_IOCTL, []Arg{
		ref(o.FD), flags(unix.TCSETS, func(int64) string { return "TCSETS" }),
		memory(constant(b, "{c_iflag=ICRNL|IXON, c_oflag=NL0|CR0|TAB0|BS0|VT0|FF0|OPOST, c_cflag=B38400|CS8|CREAD, "+
			"c_lflag=ISIG|ICANON|ECHO|ECHOE|ECHOK|IEXTEN|ECHOCTL|ECHOKE, ...}"))}}
}

// newTerminalCharacters are c_line and c_cc of a new terminal: INIT_C_CC in
// asm-generic/termios.h.
var newTerminalCharacters = [20]byte{
	1 + unix.VINTR: 'C' & 31, 1 + unix.VQUIT: '\\' & 31, 1 + unix.VERASE: 0x7f, 1 + unix.VKILL: 'U' & 31,
	1 + unix.VEOF: 'D' & 31, 1 + unix.VMIN: 1, 1 + unix.VSTART: 'Q' & 31, 1 + unix.VSTOP: 'S' & 31, 1 + unix.VSUSP: 'Z' & 31,
	1 + unix.VREPRINT: 'R' & 31, 1 + unix.VDISCARD: 'O' & 31, 1 + unix.VWERASE: 'W' & 31, 1 + unix.VLNEXT: 'V' & 31,
}

// SetWindowSize sets a terminal's size: TIOCSWINSZ, ioctl_tty(2).
type SetWindowSize struct {
	FD            Ref
	Rows, Columns uint16
}

// Call implements Operation.
func (o SetWindowSize) Call() Call {
	size := fixed(halves(uint32(o.Rows)|uint32(o.Columns)<<16, 0), func() string {
		return "{ws_row=" + strconv.Itoa(int(o.Rows)) + ", ws_col=" + strconv.Itoa(int(o.Columns)) + ", ws_xpixel=0, ws_ypixel=0}"
	})
	return Call{"ioctl", unix.SYS_IOCTL, []Arg{
		ref(o.FD), flags(unix.TIOCSWINSZ, func(int64) string { return "TIOCSWINSZ" }), memory(size)}}
}

// SendFD sends a descriptor, with a text, over a connected UNIX socket:
// sendmsg(2) with SCM_RIGHTS, unix(7).
type SendFD struct {
	Socket Ref
	FD     Slot
	Text   string
}

// Call implements Operation.
func (o SendFD) Call() Call {
	// cmsghdr: length 20, SOL_SOCKET, SCM_RIGHTS, then the descriptor; 24 bytes
	// with padding, as CMSG_SPACE(4) has it.
	control := &Memory{Bytes: append(words(20), halves(unix.SOL_SOCKET, unix.SCM_RIGHTS, 0, 0)...),
		Cells: []Cell{{Offset: 16, Slot: o.FD}}, Mutable: true}
	iov := &Memory{Bytes: words(0, uint64(len(o.Text))), Pointers: []Pointer{{Offset: 0, Text: o.Text}}}
	m := &Memory{Bytes: words(0, 0, 0, 1, 0, 24, 0),
		Pointers: []Pointer{{Offset: 16, Memory: iov}, {Offset: 32, Memory: control}}}
	m.Show = func(name func(Ref) string) string {
		return "{msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=" + quote(o.Text) + ", iov_len=" +
			strconv.Itoa(len(o.Text)) + "}], msg_iovlen=1, msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, " +
			"cmsg_type=SCM_RIGHTS, cmsg_data=[" + name(o.FD.Ref()) + "]}], msg_controllen=24, msg_flags=0}"
	}
	return Call{"sendmsg", unix.SYS_SENDMSG, []Arg{
		ref(o.Socket), memory(m), flags(unix.MSG_NOSIGNAL, func(int64) string { return "MSG_NOSIGNAL" })}}
}
