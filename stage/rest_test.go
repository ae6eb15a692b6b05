package stage

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// Descriptors of a plan with two parts: the report is 3.
const (
	goOnFD = 4
	restFD = 5
)

// twoParts is a plan whose second part uses what the first one found, and fails
// at its step number fails, counted from 0; -1 for none.
func twoParts(fails int) (head, whole *plan.Plan, err error) {
	b := plan.NewBuilder(3)
	goOn, rest := b.Input("sync", goOnFD), b.Input("rest", restFD)
	one := int32(1)
	b.Do(plan.Umask{Mask: 0o27})
	old := b.Get("old", plan.Umask{})
	signal(b, 1)
	b.Add(plan.Step{Op: plan.Read{FD: goOn.Ref(), Size: 1}, Want: &one, Awaits: "rest"})
	b.Split(rest)
	b.Runtime(plan.RuntimeStep{Action: plan.Answer{Awaited: "rest"}})
	if head, err = b.Head(); err != nil {
		return nil, nil, err
	}
	b.Close(rest)
	mask := b.Get("mask", plan.Umask{})
	b.Do(plan.Fchown{FD: goOn.Ref(), UID: -1, GID: -1}) // the input is known
	for i := range 3 {
		if i == fails {
			b.Do(missing())
		}
		signal(b, uint32(2+i))
	}
	far := b.Label()
	b.Add(plan.Step{Op: missing(), Tolerate: []plan.Errno{{Errno: unix.ENOENT, To: far}}})
	signal(b, 99)
	b.Place(far)
	b.Do(plan.Write{FD: plan.Int(3), Data: "\x09\x00\x00\x80\xff\xff\xff\xff"})
	b.Do(plan.Umask{Mask: 0o77})
	b.Add(plan.Step{Op: plan.Umask{}, Result: mask})
	b.Do(plan.Dup3{Old: old.Ref(), New: 60, Flags: unix.O_CLOEXEC}) // 0o27: nothing is open there
	leave(b)
	whole, err = b.Build()
	return head, whole, err
}

// outcome is what twoParts reports, by the step that is meant to fail.
func outcome(whole *plan.Plan, fails int) []Record {
	records := tagged(1)
	for i := range 3 {
		if i == fails {
			return append(records, failed(whole.Split()+3+i, unix.ENOENT)...)
		}
		records = append(records, Record{Tag: uint32(2 + i)})
	}
	return append(append(records, Record{Tag: 9, Value: -1}), failed(whole.Len()-2, unix.EBADF)...)
}

// resolved gives failures the index of their step.
func resolved(p *plan.Plan, records []Record) []Record {
	for i := range records {
		if records[i].Failed {
			records[i].Index = Step(p, records[i])
		}
	}
	return records
}

func TestTwoParts(t *testing.T) {
	for _, fails := range []int{-1, 0, 1, 2} {
		head, whole, err := twoParts(fails)
		if err != nil {
			t.Fatal(err)
		}
		s, rest, r, goOn := startHead(t, head)
		if err := s.WriteRest(rest, whole); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Pwrite(rest, []byte("x"), 0); err != unix.EPERM {
			t.Errorf("the second part can be written when it is sealed: %d, %v", n, err)
		}
		unix.Close(rest)
		goOn.Write([]byte{0})
		e := experiment{status: 255, records: outcome(whole, fails)}
		e.check(t, resolved(whole, readAll(t, r)), wait(t, s.PID).ExitStatus())
		if end := End(whole); Step(whole, Record{Index: end - 1}) != whole.Len()-1 {
			t.Errorf("the record before %d is that of step %d of %d", end, Step(whole, Record{Index: end - 1}), whole.Len())
		}
	}
}

// parts makes a report and a pair to let the stage go on.
func parts(t *testing.T) (r, w *os.File, sync [2]*os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err == nil {
		sync[0], sync[1], err = os.Pipe()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); sync[0].Close(); sync[1].Close() })
	return r, w, sync
}

// startHead starts a first part; rest is for the second one, and a byte to goOn
// lets the stage go on.
func startHead(t *testing.T, head *plan.Plan) (s Stage, rest int, report, goOn *os.File) {
	t.Helper()
	r, w, sync := parts(t)
	rest, err := NewRest()
	if err != nil {
		t.Fatal(err)
	}
	s, err = Start(Config{Plan: head, Name: "stage", Files: []uintptr{0, 1, 2, w.Fd(), sync[0].Fd(), uintptr(rest)}})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return s, rest, r, sync[1]
}

// TestRuntimeGone: without a runtime the second part never comes, and the
// stage ends instead of running what is not there.
func TestRuntimeGone(t *testing.T) {
	head, _, err := twoParts(-1)
	if err != nil {
		t.Fatal(err)
	}
	s, rest, r, goOn := startHead(t, head)
	unix.Close(rest)
	goOn.Close()
	want := append(tagged(1), Record{Failed: true, Index: head.Len() - 2})
	(experiment{status: 255, records: want}).check(t, resolved(head, readAll(t, r)), wait(t, s.PID).ExitStatus())
}

// writeParts writes the images of a plan with two parts for another machine.
func writeParts(dir string) error {
	head, whole, err := twoParts(-1)
	if err != nil {
		return err
	}
	img, encoding := newImage(head, code())
	if err := img.save(filepath.Join(dir, "head")); err != nil {
		return err
	}
	fd, err := NewRest()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := (Stage{encoding: encoding}).WriteRest(fd, whole); err != nil {
		return err
	}
	text, err := os.ReadFile(descriptor.Path(fd))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "rest"), text, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "end"), []byte(strconv.Itoa(End(whole))), 0o600)
}

// emulateParts runs them.
func emulateParts(ctx context.Context, t *testing.T, emulator, dir string) {
	_, whole, err := twoParts(-1)
	if err != nil {
		t.Fatal(err)
	}
	r, w, sync := parts(t)
	rest, err := os.Open(filepath.Join(dir, "rest"))
	if err != nil {
		t.Fatal(err)
	}
	defer rest.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	sync[1].Write([]byte{0})
	records, status := emulated(t, exec.CommandContext(ctx, emulator, filepath.Join(dir, "head")), r, w, sync[0], rest)
	text, err := os.ReadFile(filepath.Join(dir, "end"))
	if err != nil {
		t.Fatal(err)
	}
	end, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if records[i].Failed { // its number depends on the length of the machine's code
			records[i].Index += whole.Len() - end
		}
	}
	(experiment{status: 255, records: outcome(whole, -1)}).check(t, records, status)
}
