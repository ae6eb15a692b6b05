// Package output is what homerun and its helper homerun-log agree on: how the helper is
// started, and what the files are in which a detached program's output is kept. It does
// nothing itself.
//
// ROOT/ID/output is that file, of lines as Kubernetes' runtimes write them: a time, a
// stream, F for a line or P for a part of one whose rest follows, and the text, with
// spaces between them. ROOT/ID/output.1 has what was before that.
package output

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"
)

// Name is the helper's file name.
const Name = "homerun-log"

// What the helper is asked for, its first argument.
const (
	// Keep is followed by the driver, the container's id, and the most bytes or for the
	// journal the instance.
	Keep = "keep"
	// Show is followed by the driver; the instance; the number of lines, from the last
	// one, or -1; and letters: f to follow, t for times.
	Show = "show"
)

// The drivers.
const (
	Journal = "journald"
	Files   = "file"
)

// The descriptors that the helper is started with beside its standard streams: the
// container's directory; to keep, the pipes, or /dev/null for one that is not kept; to show,
// where an error is said, in its first line why and in the others what helps, and the pidfd
// of the one that keeps, to follow.
const (
	DirectoryFD = 3

	StdoutFD = 4
	StderrFD = 5

	ErrorFD  = 4
	KeeperFD = 5
)

// The names in a container's directory.
const (
	File   = "output"
	Before = "output.1"
)

// Fields of the journal, as podman and docker have them.
const (
	InstanceField = "CONTAINER_ID_FULL"
	PartField     = "CONTAINER_PARTIAL_MESSAGE"
)

// The streams.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// MaxLine is how many bytes of a line are kept together.
const MaxLine = 16 << 10

// Line is a line of a program's output, or a part of one.
type Line struct {
	Time   time.Time
	Stream string
	// Text has no line end. Part: the line goes on.
	Text []byte
	Part bool
}

// timeFormat has all digits, so that lines can be sorted.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// Stamp is the line's time as text.
func (l Line) Stamp() string { return l.Time.UTC().Format(timeFormat) }

// Append appends the line as the file has it.
func (l Line) Append(to []byte) []byte {
	tag := " F "
	if l.Part {
		tag = " P "
	}
	to = append(to, l.Stamp()+" "+l.Stream+tag...)
	return append(append(to, l.Text...), '\n')
}

// Parse reads a line of the file, without its line end.
func Parse(text []byte) (l Line, ok bool) {
	f := bytes.SplitN(text, []byte{' '}, 4)
	if len(f) != 4 {
		return l, false
	}
	at, err := time.Parse(timeFormat, string(f[0]))
	return Line{Time: at, Stream: string(f[1]), Text: f[3], Part: string(f[2]) == "P"}, err == nil
}

// AppendField appends a field of any bytes, as the journal reads and exports it.
func AppendField(to []byte, name string, value []byte) []byte {
	to = append(to, name+"\n"...)
	to = binary.LittleEndian.AppendUint64(to, uint64(len(value)))
	return append(slices.Concat(to, value), '\n')
}
