package store

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A record is read as it was written, once, and an empty one says nothing.
func TestExitRecord(t *testing.T) {
	for status, want := range map[unix.WaitStatus]Exit{0: {Status: 0}, 0x0500: {Status: 5}, 0xff00: {Status: 255},
		9: {Status: 137, Signal: "SIGKILL"}, 0x8b: {Status: 139, Signal: "SIGSEGV"}} {
		_, d := scratch(t)
		if e, err := d.ReadExit(); e != nil || err != nil {
			t.Errorf("without a record: %v, %v", e, err)
		}
		if err := d.WriteExit(status); err != nil {
			t.Fatal(err)
		}
		if err := d.WriteExit(0x0100); err != nil {
			t.Errorf("a second time: %v", err)
		}
		when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
		if err := os.Chtimes(d.FilePath(ExitFile), time.Time{}, when); err != nil {
			t.Fatal(err)
		}
		e, err := d.ReadExit()
		want.Time = when.UTC()
		if err != nil || *e != want {
			t.Errorf("%x: %+v, %v", status, e, err)
		}
		if e = NewExit(status); e.Status != want.Status || e.Signal != want.Signal || e.Time.Location() != time.UTC || time.Since(e.Time) > time.Minute {
			t.Errorf("%x: %+v", status, e)
		}
	}
	for want, e := range map[string]*Exit{"exit status 3": {Status: 3}, "killed by SIGTERM": {Status: 143, Signal: "SIGTERM"}} {
		if got := e.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A record that somebody else will write is left alone, and is none until then.
func TestMakeExit(t *testing.T) {
	_, d := scratch(t)
	fd, err := d.MakeExit()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if e, err := d.ReadExit(); e != nil || err != nil {
		t.Errorf("an empty record: %v, %v", e, err)
	}
	if err := d.WriteExit(9); err != nil {
		t.Error(err)
	}
	if e, err := d.ReadExit(); e != nil || err != nil {
		t.Errorf("an empty record, written by another one: %v, %v", e, err)
	}
	if _, err := unix.Pwrite(fd, []byte{0}, 0x0300); err != nil {
		t.Fatal(err)
	}
	if e, err := d.ReadExit(); err != nil || e == nil || e.Status != 3 {
		t.Errorf("%v, %v", e, err)
	}
	if _, err := d.MakeExit(); !errors.Is(err, unix.EEXIST) {
		t.Errorf("%v", err)
	}
}

// What is no record is an error that says whose, and no reason to wait.
func TestExitFails(t *testing.T) {
	_, d := scratch(t)
	var err error
	filesOfAtMost(t, 1, func() { err = d.WriteExit(9) })
	if !errors.Is(err, unix.EFBIG) || !strings.Contains(err.Error(), `the exit record of container "c"`) {
		t.Errorf("a full disk: %v", err)
	}
	if err := errors.Join(os.Remove(d.FilePath(ExitFile)), os.Symlink(ExitFile, d.FilePath(ExitFile))); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadExit(); !errors.Is(err, unix.ELOOP) || !strings.Contains(err.Error(), `the exit record of container "c"`) {
		t.Errorf("a link: %v", err)
	}
	if err := errors.Join(os.Remove(d.FilePath(ExitFile)), unix.Mkfifo(d.FilePath(ExitFile), 0o600)); err != nil {
		t.Fatal(err)
	}
	if e, err := d.ReadExit(); e != nil || err != nil {
		t.Errorf("a FIFO: %v, %v", e, err)
	}
}
