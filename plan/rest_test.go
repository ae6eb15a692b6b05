package plan

import (
	"testing"
)

// inParts is a plan with two parts, each filled by a function.
func inParts(first, second func(b *Builder)) func(b *Builder) {
	return func(b *Builder) {
		rest := b.Input("rest", 9)
		first(b)
		b.Split(rest)
		second(b)
		exit(b)
	}
}

func partBreaches() []breach {
	const rule = "two-parts-meet-once"
	nothing := func(*Builder) {}
	good := inParts(nothing, nothing)
	set := func(s *Slot) func(b *Builder) { return func(b *Builder) { *s = b.Get("mask", Umask{}) } }
	var s, l Slot
	var label Label
	leave := func(b *Builder) { label = b.Label(); b.Add(Step{Op: Umask{}, OnZero: label}) }
	return []breach{
		{"a mapping of its own", rule, 0, do(Mmap{Address: RestAddress, Size: RestSize}), exit},
		{"twice", rule, 0, inParts(func(b *Builder) { b.Do(Mmap{}) }, nothing), good},
		{"mapped again", rule, 1, inParts(nothing, func(b *Builder) { b.Do(Mmap{}) }), good},
		{"a skip into the second part", rule, 0, inParts(leave, func(b *Builder) { b.Place(label) }),
			inParts(func(b *Builder) { leave(b); b.Place(label) }, nothing)},
		{"a slot with two cells", rule, 2, inParts(set(&s), func(b *Builder) { b.Do(Signal{FD: Int(3), Value: s}) }),
			inParts(nothing, func(b *Builder) { set(&l)(b); b.Do(Signal{FD: Int(3), Value: l}) })},
	}
}

// TestHead: the first part is checked as the whole is, and lacks its end.
func TestHead(t *testing.T) {
	b := NewBuilder(3)
	fd := b.Input("rest", 9)
	b.Close(b.Slot("x"))
	b.Split(fd)
	if _, err := b.Head(); err == nil {
		t.Error("a first part that uses what is not set passes")
	}
	b = NewBuilder(3)
	fd = b.Input("rest", 9)
	b.Do(Umask{})
	b.Split(fd)
	head, err := b.Head()
	if err != nil || head.Len() != 2 || head.Split() != 2 {
		t.Fatalf("%v, %v", head, err)
	}
	exit(b)
	whole, err := b.Build()
	if err != nil || whole.Len() != 3 || whole.Split() != 2 || whole.Text(1) != head.Text(1) {
		t.Fatalf("%v, %v", whole, err)
	}
}

// TestRest: the second part's records are where the last one of the first skips
// to, and refer to the first one's cells and strings.
func TestRest(t *testing.T) {
	const code, data = 0x400268, 0x410000
	b := NewBuilder(3)
	fd, near := b.Input("rest", 9), b.Input("near", 7)
	b.Do(Chdir{"/a"})
	old := b.Get("old", Umask{})
	b.Split(fd)
	if _, err := b.Head(); err != nil {
		t.Fatal(err)
	}
	b.Do(Chdir{"/a"})
	b.Close(old)
	b.Do(Signal{FD: Int(3), Value: near})
	b.Do(Read{Int(0), 8})
	exit(b)
	p, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	e := NewEncoding(p, code, data)
	rest := e.Rest(p)
	first, second := image{e.Image, p.Split()}, image{rest.Image, p.Len() - p.Split()}
	skip := first.record(p.Split() - 1).onNonzero
	if at := code + uint32(RecordSize*(p.Split()+skip)); at != rest.CodeAt || at < RestAddress || at >= RestAddress+RecordSize {
		t.Errorf("the skip leads to %#x, the records are at %#x", at, rest.CodeAt)
	}
	if second.record(0).args[0] != first.record(0).args[0] {
		t.Error("a string of the first part is there twice")
	}
	if cell := first.record(1).result; uint32(second.record(1).args[0]) != cell {
		t.Errorf("the second part reads %#x, the first writes %#x", second.record(1).args[0], cell)
	}
	signal := uint32(second.record(2).args[1])
	if n := second.Data[signal-rest.DataAt+4]; n != 7 {
		t.Errorf("the input reads %d in the second part's memory, want 7", n)
	}
	if at := uint32(second.record(3).args[1]); at < rest.DataAt || at+8 > rest.DataAt+uint32(len(rest.Data)) {
		t.Errorf("the buffer is at %#x, outside of the writable block", at)
	}
	if int(rest.CodeAt)+len(rest.Code) > int(rest.DataAt) {
		t.Error("the blocks overlap")
	}
	for step := range p.Len() {
		if got := p.Index(p.Record(step, code), code); got != step {
			t.Errorf("step %d has the record of step %d", step, got)
		}
	}
}
