package stage

import (
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// experiment is a harmless plan whose outcome is the same on every machine.
// Its report is descriptor 3, its standard input is empty.
type experiment struct {
	name    string
	fill    func(b *plan.Builder)
	status  int
	records []Record
}

func (e experiment) check(t *testing.T, records []Record, status int) {
	t.Helper()
	if status != e.status || !reflect.DeepEqual(records, e.records) {
		t.Errorf("records %+v, status %d; want %+v, %d", records, status, e.records, e.status)
	}
}

// readAll reads the records up to the end of the report.
func readAll(t *testing.T, report *os.File) []Record {
	t.Helper()
	var records []Record
	for {
		r, err := ReadRecord(int(report.Fd()))
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
}

// failed is the record of an operation that failed.
func failed(index int, errno unix.Errno) []Record {
	return []Record{{Failed: true, Index: index, Result: -int(errno)}}
}

// tagged are the records of signals.
func tagged(tags ...uint32) []Record {
	var list []Record
	for _, tag := range tags {
		list = append(list, Record{Tag: tag})
	}
	return list
}

// missing is an operation that fails with ENOENT.
func missing() plan.Operation { return plan.Chdir{Path: "/nonexistent"} }

func signal(b *plan.Builder, tag uint32) { b.Do(plan.Signal{FD: plan.Int(3), Tag: tag}) }

func leave(b *plan.Builder) { b.Do(plan.ExitGroup{Status: 5}) }

func experiments() []experiment {
	return append([]experiment{
		{"exit status", leave, 5, nil},
		{"signals", func(b *plan.Builder) { signal(b, 1); signal(b, 1<<30); leave(b) }, 5, tagged(1, 1<<30)},
		{"failure of the first", func(b *plan.Builder) { b.Do(missing()); leave(b) }, 255, failed(0, unix.ENOENT)},
		{"failure after others", func(b *plan.Builder) {
			signal(b, 7)
			b.Do(plan.Umask{Mask: 0o22})
			b.Do(missing())
			leave(b)
		}, 255, append(tagged(7), failed(2, unix.ENOENT)...)},
		{"failure of the last", func(b *plan.Builder) {
			b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE})
			b.Do(plan.CloseRange{First: 3, Flags: unix.CLOSE_RANGE_CLOEXEC})
			b.Do(plan.Execve{Path: "/nonexistent", Args: []string{"x"}})
		}, 255, failed(2, unix.ENOENT)},
		{"constants are sign-extended", func(b *plan.Builder) {
			b.Do(plan.Faccessat{DirFD: plan.AtCWD(), Path: "."})
			b.Do(plan.Close{FD: plan.Int(-1)})
			leave(b)
		}, 255, failed(1, unix.EBADF)},
		{"memory", func(b *plan.Builder) {
			b.Do(plan.Write{FD: plan.Int(3), Data: "\x09\x00\x00\x80\xff\xff\xff\xff"})
			leave(b)
		}, 5, []Record{{Tag: 9, Value: -1}}},
		{"the kernel writes to memory", func(b *plan.Builder) {
			zero := int32(0)
			b.Add(plan.Step{Op: plan.Read{FD: plan.Int(0), Size: 8}, Want: &zero})
			leave(b)
		}, 5, nil},
	}, slices.Concat(slotExperiments(), skipExperiments(), reapExperiments())...)
}

func slotExperiments() []experiment {
	open := plan.Socket{Domain: unix.AF_UNIX, Type: unix.SOCK_STREAM | unix.SOCK_CLOEXEC}
	return []experiment{
		{"a result becomes an argument", func(b *plan.Builder) {
			fd := b.Get("fd", open)
			b.Do(plan.Fchown{FD: fd.Ref(), UID: -1, GID: -1})
			b.Close(fd)
			b.Close(fd)
			leave(b)
		}, 255, failed(3, unix.EBADF)},
		{"a result lands in memory", func(b *plan.Builder) {
			b.Do(plan.Umask{Mask: 0o27})
			old := b.Get("old", plan.Umask{})
			b.Do(plan.Signal{FD: plan.Int(3), Tag: 4, Value: old})
			leave(b)
		}, 5, []Record{{Tag: 4, Value: 0o27}}},
		{"an input", func(b *plan.Builder) {
			b.Do(plan.Signal{FD: b.Input("report", 3).Ref(), Tag: 8, Value: b.Input("other", 77)})
			leave(b)
		}, 5, []Record{{Tag: 8, Value: 77}}},
		{"a tolerated error leaves the slot", func(b *plan.Builder) {
			old := b.Input("old", 33)
			b.Add(plan.Step{Op: missing(), Result: old, Tolerate: plan.Ignore(unix.ENOENT)})
			b.Do(plan.Signal{FD: plan.Int(3), Tag: 6, Value: old})
			leave(b)
		}, 5, []Record{{Tag: 6, Value: 33}}},
		{"two slots", func(b *plan.Builder) { // both open, but one no regular file: else it were EBADF
			b.Do(plan.Dup3{Old: plan.Int(3), New: 50, Flags: unix.O_CLOEXEC})
			b.Do(plan.Dup3{Old: plan.Int(0), New: 51, Flags: unix.O_CLOEXEC})
			b.Do(plan.Sendfile{Out: b.Input("out", 50).Ref(), In: b.Input("in", 51).Ref(), Count: 5})
			leave(b)
		}, 255, failed(2, unix.EINVAL)},
	}
}

// skipExperiments end with one of four signals, so a skip that is one too short
// or too long shows.
func skipExperiments() []experiment {
	list := []experiment{
		{"a tolerated error goes on", ways(func(b *plan.Builder, _ []plan.Label) plan.Step {
			return plan.Step{Op: missing(), Tolerate: plan.Ignore(unix.ENOENT)}
		}), 5, tagged(0, 1, 2)},
		{"an error that is not the tolerated one", ways(func(*plan.Builder, []plan.Label) plan.Step {
			return plan.Step{Op: missing(), Tolerate: plan.Ignore(unix.EACCES, unix.EPERM)}
		}), 255, failed(1, unix.ENOENT)},
		{"an unwanted result", ways(func(*plan.Builder, []plan.Label) plan.Step {
			want := int32(1)
			return plan.Step{Op: plan.Read{FD: plan.Int(0), Size: 1}, Want: &want}
		}), 255, []Record{{Failed: true, Index: 1}}},
		{"a result that no call has", ways(func(*plan.Builder, []plan.Label) plan.Step {
			want := int32(-1)
			return plan.Step{Op: plan.Umask{}, Want: &want, Tolerate: plan.Ignore(unix.EPERM)}
		}), 255, []Record{{Failed: true, Index: 1, Result: 0o22}}},
		{"a wanted result skips", ways(func(_ *plan.Builder, to []plan.Label) plan.Step {
			want := int32(0o22)
			return plan.Step{Op: plan.Umask{}, Want: &want, OnNonzero: to[1]}
		}), 5, tagged(1, 2)},
		{"zero skips", ways(func(_ *plan.Builder, to []plan.Label) plan.Step {
			return plan.Step{Op: plan.Read{FD: plan.Int(0), Size: 1}, OnZero: to[2], OnNonzero: to[1], Tolerate: plan.Ignore(unix.EIO)}
		}), 5, tagged(2)},
		{"another result skips", ways(func(_ *plan.Builder, to []plan.Label) plan.Step {
			return plan.Step{Op: plan.Umask{}, OnZero: to[2], OnNonzero: to[1], Tolerate: plan.Ignore(unix.EIO)}
		}), 5, tagged(1, 2)},
	}
	for n := range plan.MaxErrnos {
		list = append(list, experiment{"tolerated error number " + string(rune('1'+n)), ways(func(_ *plan.Builder, to []plan.Label) plan.Step {
			tolerate := make([]plan.Errno, plan.MaxErrnos)
			for i := range tolerate {
				tolerate[i] = plan.Errno{Errno: unix.EACCES + unix.Errno(i), To: to[1]}
			}
			tolerate[n] = plan.Errno{Errno: unix.ENOENT, To: to[2]}
			return plan.Step{Op: missing(), Tolerate: tolerate}
		}), 5, tagged(2)})
	}
	return list
}

// ways adds a step after which three labels stand, each before a signal with
// its number. The umask is 022 before.
func ways(step func(b *plan.Builder, to []plan.Label) plan.Step) func(b *plan.Builder) {
	return func(b *plan.Builder) {
		b.Do(plan.Umask{Mask: 0o22})
		to := []plan.Label{b.Label(), b.Label(), b.Label()}
		b.Add(step(b, to))
		for i, l := range to {
			b.Place(l)
			signal(b, uint32(i))
		}
		leave(b)
	}
}
