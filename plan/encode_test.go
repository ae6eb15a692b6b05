package plan

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// encoded lowers what fill adds, after two inputs, and encodes it.
func encoded(fill func(b *Builder, s slots)) image {
	b := NewBuilder(7)
	fill(b, slots{b.Input("dir", dirFD), b.Input("file", fileFD)})
	return encode(lower(b))
}

// store writes a result into the cell of a record, as the stage does.
func (m image) store(r record, n int32) {
	binary.LittleEndian.PutUint32(m.at(r.result), uint32(n))
}

func TestEncodeHeader(t *testing.T) {
	m := encoded(func(b *Builder, _ slots) { b.Do(Setsid{}); exit(b) })
	if n := m.number(testData + 8); n != 7 {
		t.Errorf("the report descriptor is %d, want 7", n)
	}
	if len(m.Code) < 2*RecordSize || m.record(1).number != unix.SYS_EXIT_GROUP {
		t.Errorf("%d bytes of code for two operations; the second is call %d", len(m.Code), m.record(1).number)
	}
}

func TestEncodeResultReachesItsUses(t *testing.T) {
	m := encoded(func(b *Builder, s slots) {
		fd := b.Get("fd", Fsopen{"tmpfs"})
		b.Close(fd)
		b.Do(Dup3{s.file.Ref(), 9, unix.O_CLOEXEC})
		b.Do(Dup3{fd.Ref(), 9, unix.O_CLOEXEC})
	})
	m.store(m.record(0), 77)
	for i, want := range map[int]int{1: 77, 2: fileFD, 3: 77} {
		r := m.record(i)
		if got := m.number(uint32(r.args[0])); r.slots != 1 || got != want {
			t.Errorf("operation %d: slots %b, argument 0 is %d, want %d", i, r.slots, got, want)
		}
	}
	if r := m.record(1); r.result != 0 {
		t.Errorf("a result that nobody keeps goes to %#x", r.result)
	}
}

func TestEncodeSlotsMask(t *testing.T) {
	m := encoded(func(b *Builder, s slots) {
		b.Do(MoveMount{FromFD: s.dir.Ref(), ToFD: s.file.Ref()})
		b.Do(MoveMount{FromFD: s.dir.Ref(), ToFD: AtCWD()})
		b.Do(Symlinkat{"a", s.dir.Ref(), "b"})
		b.Do(Umask{})
	})
	for i, want := range []byte{0b101, 0b001, 0b010, 0} {
		if got := m.record(i).slots; got != want {
			t.Errorf("operation %d: slots %03b, want %03b", i, got, want)
		}
	}
}

// TestEncodeSlotsInMemory wants a result to land in the bytes of the
// operation that uses it, and what the operation writes there to be read.
func TestEncodeSlotsInMemory(t *testing.T) {
	tests := []struct {
		name string
		use  func(slot Slot) Operation
		argument,
		offset int
		through []uint32 // offsets of the pointers to follow
	}{
		{"SendFD", func(s Slot) Operation { return SendFD{Int(3), s, "m"} }, 1, 16, []uint32{32}},
		{"Clone3.Cgroup", func(s Slot) Operation { return Clone3{Flags: unix.CLONE_INTO_CGROUP, Cgroup: s.Ref()} }, 0, 80, nil},
		{"Signal.Value", func(s Slot) Operation { return Signal{FD: Int(3), Value: s} }, 1, 4, nil},
		{"MountSetattr.UserNS", func(s Slot) Operation { return MountSetattr{UserNS: s.Ref()} }, 3, 24, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := encoded(func(b *Builder, _ slots) {
				slot := b.Get("result", Fsopen{"tmpfs"})
				b.Do(test.use(slot))
				b.Close(slot)
			})
			address := uint32(m.record(1).args[test.argument])
			for _, offset := range test.through {
				address = m.word(address + offset)
			}
			cell := m.record(0).result
			if cell != address+uint32(test.offset) || cell != uint32(m.record(2).args[0]) {
				t.Fatalf("the cell is at %#x, the memory at %#x, the other use reads %#x", cell, address, m.record(2).args[0])
			}
			m.store(m.record(0), -5)
			if got := m.number(address + uint32(test.offset)); got != -5 {
				t.Errorf("the memory holds %d, want -5", got)
			}
		})
	}
}

// TestEncodeSharesStrings: an environment is the largest thing in a plan, and
// each candidate of an execve has it.
func TestEncodeSharesStrings(t *testing.T) {
	args, env := []string{"sh", "-c"}, []string{"HOME=/", "BIG=" + strings.Repeat("x", 5000)}
	m := encoded(func(b *Builder, _ slots) {
		b.Do(Execve{"/usr/bin/sh", args, env})
		b.Do(Execve{"/bin/sh", args, env})
		b.Do(Execve{"/bin/sh", slices.Clone(args), nil})
		b.Do(Execve{"/bin/sh", args[:1], nil})
	})
	first, second, third, fourth := m.record(0), m.record(1), m.record(2), m.record(3)
	if first.args[1] != second.args[1] || first.args[2] != second.args[2] {
		t.Error("equal arrays are encoded twice")
	}
	if len(m.Code) > 4*RecordSize+6000 {
		t.Errorf("the code has %d bytes", len(m.Code))
	}
	if second.args[0] != third.args[0] {
		t.Error("equal paths are encoded twice")
	}
	for i, want := range [][]string{args, args, args, args[:1]} {
		if got := m.strings(uint32(m.record(i).args[1])); !slices.Equal(got, want) {
			t.Errorf("operation %d has the arguments %q, want %q", i, got, want)
		}
	}
	if got := m.strings(uint32(fourth.args[2])); len(got) != 0 {
		t.Errorf("the empty environment reads %q", got)
	}
}

// TestEncodeMutableMemory: what the kernel or the stage writes to must lie in
// the writable block, and what it does not in the other.
func TestEncodeMutableMemory(t *testing.T) {
	m := encoded(func(b *Builder, s slots) {
		b.Do(Read{Int(0), 8})
		b.Do(Read{Int(0), 8})
		b.Do(Write{Int(1), "text"})
		b.Do(Signal{FD: Int(3), Value: s.dir})
		b.Do(Ppoll{FDs: []int{3}, Ends: []int{4}, Timeout: time.Second})
	})
	const polled = 4
	for _, c := range []struct {
		operation, argument int
		writable            bool
	}{{0, 1, true}, {1, 1, true}, {2, 1, false}, {3, 1, true}, {polled, 0, true}, {polled, 2, true}} {
		if address := uint32(m.record(c.operation).args[c.argument]); address >= testData != c.writable {
			t.Errorf("operation %d has its memory at %#x; writable: %t", c.operation, address, c.writable)
		}
	}
	if m.record(0).args[1] == m.record(1).args[1] {
		t.Error("two buffers are one")
	}
}

func TestEncodeSkips(t *testing.T) {
	one := int32(1)
	m := encoded(func(b *Builder, _ slots) {
		near, far := b.Label(), b.Label()
		b.Add(Step{Op: Setsid{}, OnZero: near, OnNonzero: far, Want: &one,
			Tolerate: []Errno{{unix.ENOENT, 0}, {unix.EPERM, far}, {unix.EIO, near}}})
		b.Place(near)
		b.Do(Setsid{})
		b.Do(Setsid{})
		b.Place(far)
		b.Add(Step{Op: Setsid{}, Tolerate: Ignore(unix.EBUSY, unix.EPERM, unix.EIO, unix.EAGAIN)})
	})
	r := m.record(0)
	if r.onZero != 0 || r.onNonzero != 2 || !r.wants || r.want != 1 {
		t.Errorf("skips %d on zero, %d on another result, wants %t %d", r.onZero, r.onNonzero, r.wants, r.want)
	}
	if want := [MaxErrnos][2]int{{int(unix.ENOENT), 0}, {int(unix.EPERM), 2}, {int(unix.EIO), 0}}; r.tolerate != want {
		t.Errorf("tolerates %v, want %v", r.tolerate, want)
	}
	if want := [MaxErrnos][2]int{{int(unix.EBUSY), 0}, {int(unix.EPERM), 0}, {int(unix.EIO), 0}, {int(unix.EAGAIN), 0}}; m.record(3).tolerate != want {
		t.Errorf("tolerates %v, want %v", m.record(3).tolerate, want)
	}
	if r := m.record(1); r.wants || r.onZero != 0 || r.tolerate != [MaxErrnos][2]int{} {
		t.Errorf("a plain step is encoded as %+v", r)
	}
}

func TestEncodeInputs(t *testing.T) {
	b := NewBuilder(3)
	third, second := b.Input("third", 6), b.Input("second", 5)
	b.Do(Signal{FD: second.Ref(), Value: third})
	b.Close(third)
	exit(b)
	p, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Inputs(), []Input{{"second", 5}, {"third", 6}}; !slices.Equal(got, want) {
		t.Errorf("inputs %v, want %v", got, want)
	}
	m := encode(p)
	address := uint32(m.record(0).args[1])
	if fd, value := m.number(uint32(m.record(0).args[0])), m.number(address+4); fd != 5 || value != 6 {
		t.Errorf("the signal is on %d and holds %d, want 5 and 6", fd, value)
	}
}

func TestEncodeIsDeterministic(t *testing.T) {
	fill := func(b *Builder, s slots) {
		for range 20 {
			b.Do(SendFD{s.dir.Ref(), b.Get("fd", Fsopen{"tmpfs"}), "m"})
		}
	}
	first := encoded(fill)
	for range 20 {
		if m := encoded(fill); !bytes.Equal(m.Code, first.Code) || !bytes.Equal(m.Data, first.Data) {
			t.Fatal("one plan has two encodings")
		}
	}
}

// TestCodeSizeIsABound with large content wherever an operation can have some:
// the writable block begins after it.
func TestCodeSizeIsABound(t *testing.T) {
	big := strings.Repeat("b", 3000)
	for _, op := range []Operation{
		Chdir{big}, SendFD{Int(3), 0, big}, Seccomp{Program: []byte(big)}, Write{Int(1), big}, Setgroups{make([]uint32, 800)},
		Execve{big, []string{big, big + "1"}, []string{big + "2"}}, SetName{big}, Fsconfig{Command: unix.FSCONFIG_SET_STRING, Key: big, Value: big + "3"},
	} {
		b := NewBuilder(3)
		if o, ok := op.(SendFD); ok {
			o.FD = b.Input("fd", 4)
			op = o
		}
		b.Do(op)
		p := lower(b)
		if n := len(encode(p).Code); n < 3000 || n > p.CodeSize() {
			t.Errorf("%s: %d bytes, CodeSize says at most %d", p.calls[0].Name, n, p.CodeSize())
		}
	}
}
