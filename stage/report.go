package stage

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// Record is what a stage reports: a signal of the plan, or the failure of an
// operation, after which nothing follows.
type Record struct {
	// Failed is true when an operation failed.
	Failed bool
	// Index is the number of the record of the step that failed; see Step.
	Index int
	// Result is what the failed call returned: an errno below 0, else a number
	// that was not the wanted one.
	Result int
	// Tag and Value are a signal's.
	Tag   uint32
	Value int
}

// ErrShort reports a record that was cut off: the stage was killed while it
// wrote, or something else wrote to its pipe.
var ErrShort = errors.New("the stage's report was cut off")

// ReadRecord reads the next record from the report's descriptor, waiting for
// it. io.EOF says that the stage's last process executed the container's
// program, or ended.
func ReadRecord(fd int) (Record, error) {
	var b [8]byte
	for n := 0; n < len(b); {
		m, err := unix.Read(fd, b[n:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return Record{}, err
		case m == 0 && n == 0:
			return Record{}, io.EOF
		case m == 0:
			return Record{}, ErrShort
		}
		n += m
	}
	return decode(b), nil
}

func decode(b [8]byte) Record {
	head := binary.LittleEndian.Uint32(b[:4])
	value := int(int32(binary.LittleEndian.Uint32(b[4:])))
	if head&plan.SignalBit != 0 {
		return Record{Tag: head &^ plan.SignalBit, Value: value}
	}
	return Record{Failed: true, Index: int(head) / plan.RecordSize, Result: value}
}
