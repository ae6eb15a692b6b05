package stage

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// TestMain lets the test be other programs: one that writes images for
// another machine to run, and one where executable memfds are forbidden.
func TestMain(m *testing.M) {
	for variable, program := range map[string]func(argument string) error{
		imagesVariable: writeImages, forbiddenVariable: startWithoutMemfd,
	} {
		if argument := os.Getenv(variable); argument != "" {
			if err := program(argument); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

func build(fill func(b *plan.Builder)) (*plan.Plan, error) {
	b := plan.NewBuilder(3)
	fill(b)
	return b.Build()
}

// start runs a plan whose report descriptor is 3 and whose standard input is
// stdin. The report has to be read and the process to be waited for.
func start(t *testing.T, stdin *os.File, fill func(b *plan.Builder), files ...uintptr) (pid int, report *os.File) {
	t.Helper()
	p, err := build(fill)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	defer w.Close()
	s, err := Start(Config{Plan: p, Name: "stage", Files: append([]uintptr{stdin.Fd(), 1, 2, w.Fd()}, files...), OpenFiles: openFiles(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runtime.KeepAlive(&s) }) // spawn.Process
	return s.PID, r
}

// openFiles is the test's own limit, with which the stage's execve is not waited for.
func openFiles(t *testing.T) *unix.Rlimit {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return &limit
}

// TestNotStarted: a stage that is not executed is said to be that, at the latest when its
// process has ended.
func TestNotStarted(t *testing.T) {
	p, err := build(func(b *plan.Builder) { b.Do(plan.ExitGroup{}) })
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []*unix.Rlimit{openFiles(t), nil} {
		s, err := Start(Config{Plan: p, Name: "stage", Files: []uintptr{0, 1, 2, 971}, OpenFiles: limit})
		if err == nil {
			wait(t, s.PID)
			err = s.NotStarted()
		}
		if err == nil || err.Error() != "start the stage: bad file descriptor" {
			t.Errorf("%v", err)
		}
		if s, err = Start(Config{Plan: p, Name: "stage", Files: []uintptr{0, 1, 2, 2}, OpenFiles: limit}); err != nil {
			t.Fatal(err)
		}
		if wait(t, s.PID); s.NotStarted() != nil {
			t.Errorf("one that starts: %v", s.NotStarted())
		}
	}
}

// nothing is an empty standard input.
func nothing(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// wait reaps the process.
func wait(t *testing.T, pid int) unix.WaitStatus {
	t.Helper()
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err == nil {
			return status
		}
		if err != unix.EINTR {
			t.Fatal(err)
		}
	}
}

func TestCodeFitsInOnePage(t *testing.T) {
	if n := len(code()); n < 100 || n > maxCode-codeAt-8 {
		t.Fatalf("the stage's code has %d bytes", n)
	}
}

func TestExperiments(t *testing.T) {
	for _, e := range experiments() {
		t.Run(e.name, func(t *testing.T) {
			pid, report := start(t, nothing(t), e.fill)
			records := readAll(t, report)
			e.check(t, records, wait(t, pid).ExitStatus())
		})
	}
}

func TestForkBranchesOnTheResult(t *testing.T) {
	pid, report := start(t, nothing(t), func(b *plan.Builder) {
		child, process := b.Label(), b.Slot("pid")
		b.Add(plan.Step{Op: plan.Clone3{ExitSignal: int(unix.SIGCHLD)}, Result: process, OnZero: child})
		b.Do(plan.Signal{FD: plan.Int(3), Tag: 1, Value: process})
		b.Do(plan.ExitGroup{})
		b.Place(child)
		b.Do(plan.Signal{FD: plan.Int(3), Tag: 2})
		b.Do(plan.ExitGroup{})
	})
	seen := map[uint32]int{}
	for _, r := range readAll(t, report) {
		seen[r.Tag] = r.Value
	}
	if len(seen) != 2 || seen[1] <= pid || seen[2] != 0 {
		t.Errorf("signals and values %v of process %d, want 1 with its child's id and 2", seen, pid)
	}
	wait(t, pid)
}

// TestStopAndContinue: a container may be frozen by signals while it waits.
func TestStopAndContinue(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	one := int32(1)
	pid, report := start(t, r, func(b *plan.Builder) {
		b.Do(plan.Signal{FD: plan.Int(3), Tag: 1})
		b.Add(plan.Step{Op: plan.Read{FD: plan.Int(0), Size: 1}, Want: &one})
		b.Do(plan.ExitGroup{Status: 9})
	})
	if rec, err := ReadRecord(int(report.Fd())); err != nil || rec.Tag != 1 {
		t.Fatalf("record %v, %v", rec, err)
	}
	for _, s := range []unix.Signal{unix.SIGSTOP, unix.SIGCONT} {
		if err := unix.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if records, status := readAll(t, report), wait(t, pid); len(records) != 0 || status.ExitStatus() != 9 {
		t.Errorf("records %v, status %v", records, status)
	}
}

// TestManyFiles has so many descriptors open that the image's own gets a large number.
func TestManyFiles(t *testing.T) {
	null := nothing(t)
	files := make([]uintptr, 200)
	for i := range files {
		files[i] = null.Fd()
	}
	pid, report := start(t, null, func(b *plan.Builder) {
		b.Do(plan.Faccessat{DirFD: plan.Int(203), Path: "/"})
		b.Do(plan.Close{FD: plan.Int(203)})
		b.Do(plan.Close{FD: plan.Int(204)})
		b.Do(plan.ExitGroup{})
	}, files...)
	want := Record{Failed: true, Index: 2, Result: -int(unix.EBADF)}
	if records := readAll(t, report); len(records) != 1 || records[0] != want {
		t.Errorf("records %v, want %v: one descriptor too many or too few", records, want)
	}
	wait(t, pid)
}

func TestStartConcurrently(t *testing.T) {
	p, err := build(func(b *plan.Builder) { b.Do(plan.ExitGroup{Status: 3}) })
	if err != nil {
		t.Fatal(err)
	}
	statuses := make([]int, 16)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			c := Config{Plan: p, Files: []uintptr{0, 1, 2, 2}}
			if i%2 == 0 {
				c.OpenFiles = openFiles(t)
			}
			s, err := Start(c)
			var status unix.WaitStatus
			if err == nil {
				_, err = unix.Wait4(s.PID, &status, 0, nil)
			}
			runtime.KeepAlive(&s) // spawn.Process
			if statuses[i] = status.ExitStatus(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, s := range statuses {
		if s != 3 {
			t.Errorf("process %d ended with %d, want 3", i, s)
		}
	}
}
