package stage

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/homerun-oci/homerun/plan"
)

func TestReadRecord(t *testing.T) {
	const signal = "\x05\x00\x00\x80\xfe\xff\xff\xff"
	failure := string([]byte{3 * plan.RecordSize, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff})
	tests := []struct {
		name, bytes string
		want        []Record
		err         error
	}{
		{"nothing", "", nil, io.EOF},
		{"signal", signal, []Record{{Tag: 5, Value: -2}}, io.EOF},
		{"failure", failure, []Record{{Failed: true, Index: 3, Result: -2}}, io.EOF},
		{"both", signal + failure, []Record{{Tag: 5, Value: -2}, {Failed: true, Index: 3, Result: -2}}, io.EOF},
		{"cut off", signal[:1], nil, ErrShort},
		{"cut off after another", signal + signal[:7], []Record{{Tag: 5, Value: -2}}, ErrShort},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			go func() {
				for i := range len(test.bytes) {
					w.WriteString(test.bytes[i : i+1]) // a pipe may give less than was written
				}
				w.Close()
			}()
			for _, want := range test.want {
				if got, err := ReadRecord(int(r.Fd())); err != nil || got != want {
					t.Errorf("got %+v, %v; want %+v", got, err, want)
				}
			}
			if got, err := ReadRecord(int(r.Fd())); !errors.Is(err, test.err) {
				t.Errorf("got %+v, %v; want %v", got, err, test.err)
			}
		})
	}
}

func TestReadRecordOfNothingOpen(t *testing.T) {
	if r, err := ReadRecord(-1); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %+v, %v", r, err)
	}
}
