package stage

import (
	"io"
	"os"
	"testing"

	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// run builds and runs a plan whose report descriptor is 3, and returns the
// records and the exit status of the first process.
func run(t *testing.T, fill func(b *plan.Builder)) ([]Record, unix.WaitStatus) {
	t.Helper()
	b := plan.NewBuilder(3)
	fill(b)
	p, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pid, err := Start(Config{Plan: p, Name: "stage", Files: []uintptr{0, 1, 2, w.Fd()}})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var records []Record
	for {
		rec, err := ReadRecord(int(r.Fd()))
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	return records, status
}

func TestCodeFitsInOnePage(t *testing.T) {
	n := len(code())
	t.Logf("%d bytes", n)
	if n < 100 || n > maxCode-codeAt-8 {
		t.Fatalf("the stage's code has %d bytes", n)
	}
}

func TestExitStatus(t *testing.T) {
	records, status := run(t, func(b *plan.Builder) { b.Do(plan.ExitGroup{Status: 7}) })
	if len(records) != 0 || status.ExitStatus() != 7 {
		t.Fatalf("records %v, status %v", records, status)
	}
}

func TestFailureNamesTheOperation(t *testing.T) {
	records, status := run(t, func(b *plan.Builder) {
		b.Do(plan.Umask{Mask: 0o22})
		b.Do(plan.Chdir{Path: "/nonexistent"})
		b.Do(plan.ExitGroup{})
	})
	want := Record{Failed: true, Index: 1, Result: -int(unix.ENOENT)}
	if len(records) != 1 || records[0] != want || status.ExitStatus() != 255 {
		t.Fatalf("records %v, status %v; want %v", records, status, want)
	}
}

func TestToleratedErrorSkips(t *testing.T) {
	records, _ := run(t, func(b *plan.Builder) {
		end := b.Label()
		b.Try(plan.Chdir{Path: "/nonexistent"}, plan.Errno{Errno: unix.EACCES}, plan.Errno{Errno: unix.ENOENT, To: end})
		b.Do(plan.Chdir{Path: "/skipped"})
		b.Place(end)
		b.Do(plan.Signal{FD: plan.Int(3), Tag: 5})
		b.Do(plan.ExitGroup{})
	})
	if len(records) != 1 || records[0].Tag != 5 || records[0].Failed {
		t.Fatalf("records %v", records)
	}
}

func TestForkBranchesOnTheResult(t *testing.T) {
	records, _ := run(t, func(b *plan.Builder) {
		child := b.Label()
		pid := b.Slot("pid")
		b.Add(plan.Step{Op: plan.Clone3{ExitSignal: int(unix.SIGCHLD)}, Result: pid, OnZero: child})
		b.Do(plan.Signal{FD: plan.Int(3), Tag: 1, Value: pid})
		b.Do(plan.ExitGroup{})
		b.Place(child)
		b.Do(plan.Signal{FD: plan.Int(3), Tag: 2})
		b.Do(plan.ExitGroup{})
	})
	if len(records) != 2 {
		t.Fatalf("records %v", records)
	}
	for _, r := range records {
		if r.Tag == 1 && r.Value <= 1 {
			t.Errorf("record %v", r)
		}
	}
}

func TestUnwantedResult(t *testing.T) {
	one := int32(1)
	records, _ := run(t, func(b *plan.Builder) {
		b.Add(plan.Step{Op: plan.Read{FD: plan.Int(0), Size: 1}, Want: &one})
		b.Do(plan.ExitGroup{})
	})
	if len(records) != 1 || !records[0].Failed || records[0].Result != 0 {
		t.Fatalf("records %v", records)
	}
}
