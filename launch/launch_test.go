package launch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// signalRecord is a signal as the stage writes it.
func signalRecord(tag uint32, value int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, tag|plan.SignalBit)
	return binary.LittleEndian.AppendUint32(b, uint32(value))
}

// reported is a launch whose stage has written these records and ended.
func reported(t *testing.T, records ...[]byte) *Launch {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]) })
	for _, r := range records {
		if _, err := unix.Write(fds[1], r); err != nil {
			t.Fatal(err)
		}
	}
	unix.Close(fds[1])
	return &Launch{report: fds[0], sync: -1, pidfd: -1, firstFD: -1}
}

// failure is the record of an operation that failed.
func failure(index int, errno unix.Errno) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(index))
	return binary.LittleEndian.AppendUint32(b, uint32(-int32(errno)))
}

// child is a process that plays one of the stage's, and its pidfd.
func child(t *testing.T) (pid, pidfd int) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		_, _ = unix.Wait4(cmd.Process.Pid, nil, 0, nil)
		unix.Close(pidfd)
	})
	return cmd.Process.Pid, pidfd
}

// alive reports whether a child runs. It does not reap it.
func alive(t *testing.T, pidfd int) bool {
	t.Helper()
	ended, err := proc.AwaitEnd(t.Context(), pidfd, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return !ended
}

// Init runs at once, on another processor perhaps: its signal may come before
// that of the process that made it.
func TestAwaitInAnyOrder(t *testing.T) {
	namespaces, init := signalRecord(compile.TagNamespaces, 0), signalRecord(compile.TagInit, 4711)
	for name, records := range map[string][][]byte{"made first": {init, namespaces}, "init first": {namespaces, init}} {
		l := reported(t, records...)
		for _, await := range []string{"init", "namespaces"} {
			if err := l.await(await); err != nil {
				t.Fatalf("%s: await %s: %v", name, await, err)
			}
			if l.init != 4711 {
				t.Fatalf("%s: after %s init is %d", name, await, l.init)
			}
		}
		if err := l.await("ready"); !errors.Is(err, ErrDied) {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

// A signal that a plan awaits has a tag, or its runtime would wait for ever.
func TestTagsOfAwaitedSignals(t *testing.T) {
	for name, tag := range map[string]uint32{"init": compile.TagInit, "user": compile.TagUser,
		"namespaces": compile.TagNamespaces, "ready": compile.TagReady} {
		if got := compile.Tag(name); got != tag {
			t.Errorf("Tag(%q) = %d, want %d", name, got, tag)
		}
	}
}

// What init is waited for with, and what it reports of a failure, an end, or
// something that nobody awaits.
func TestAwait(t *testing.T) {
	l := reported(t, signalRecord(compile.TagInit, 1<<22), signalRecord(compile.TagReady, 0))
	if err := l.await("ready"); err != nil || !l.waits || l.init != 1<<22 {
		t.Errorf("%v, waits %v, init %d", err, l.waits, l.init)
	}
	if err := l.await("ready"); err != nil || !l.waits {
		t.Errorf("again: %v", err)
	}
	if err := reported(t, signalRecord(compile.TagUser, 0)).await("user"); err != nil {
		t.Error(err)
	}
	if err := reported(t, signalRecord(compile.TagUser, 0)[:3]).await("user"); err == nil || errors.Is(err, ErrDied) {
		t.Errorf("half a record: %v", err)
	}
	if err := (&Launch{report: -1, firstFD: -1, init: 1 << 22}).await("user"); !errors.Is(err, unix.EBADF) {
		t.Errorf("no report: %v", err)
	}
	l = reported(t, signalRecord(compile.TagUser, 0))
	if err := l.AwaitFailure(); !errors.Is(err, ErrDied) || l.waits {
		t.Errorf("%v", err)
	}
}

func TestAwaitProgram(t *testing.T) {
	if err := reported(t).awaitProgram(); err != nil {
		t.Errorf("it runs: %v", err)
	}
	if err := reported(t, signalRecord(9, 1)).awaitProgram(); err == nil || err.Error() != "BUG: the stage signals 9 that nobody awaits" {
		t.Errorf("%v", err)
	}
	if err := (&Launch{report: -1}).awaitProgram(); !errors.Is(err, unix.EBADF) {
		t.Errorf("no report: %v", err)
	}
}

// An operation that failed is said, wherever it is heard of.
func TestFailuresAreSaid(t *testing.T) {
	for name, wait := range map[string]func(*Launch) error{
		"await":         func(l *Launch) error { return l.await("init") },
		"await program": (*Launch).awaitProgram,
		"await failure": (*Launch).AwaitFailure,
	} {
		l := reported(t, failure(0, unix.EACCES))
		l.Options = Options{Result: compiled(t, "/bin/true"), Facts: &host.Facts{}}
		var e *fault.Error
		if err := wait(l); !errors.As(err, &e) || e.Errno != unix.EACCES {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the stage has said of its failure is there for who sees another sign of it, and
// who asks does not wait for more.
func TestFailed(t *testing.T) {
	l := reported(t, signalRecord(compile.TagInit, 1<<22), failure(0, unix.EPERM))
	l.Result, l.Facts = compiled(t, "/bin/true"), &host.Facts{}
	if err := l.Failed(); !errors.Is(err, unix.EPERM) {
		t.Errorf("got %v; want EPERM", err)
	}
	if err := l.Failed(); err != nil || l.init != 1<<22 {
		t.Errorf("afterwards: %v, and init is %d", err, l.init)
	}
	var silent [2]int
	if err := unix.Pipe2(silent[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(silent[1])
	l.report = silent[0]
	if err := l.Failed(); err != nil {
		t.Errorf("of a stage that goes on: %v", err)
	}
}

// An answer is one byte; that init is gone is for its report to say.
func TestAnswer(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	l := &Launch{sync: fds[1]}
	if err := l.answer(); err != nil {
		t.Error(err)
	}
	var b [8]byte
	if n, err := unix.Read(fds[0], b[:]); n != 1 || err != nil || b[0] != 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
	unix.Close(fds[0])
	if err := l.answer(); err != nil {
		t.Errorf("init is gone: %v", err)
	}
	descriptor.Close(&l.sync)
	if err := l.answer(); err != nil {
		t.Errorf("cancelled: %v", err)
	}
	full, err := unix.Open("/dev/full", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(full)
	if err := (&Launch{sync: full}).answer(); !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), "let init go on: ") {
		t.Errorf("%v", err)
	}
}

// A first process that ends without a word is noticed, though somebody holds its
// report open; what it has said before is heard.
func TestFirstEnds(t *testing.T) {
	for name, said := range map[string]bool{"said": true, "silent": false} {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fds[0])
		defer unix.Close(fds[1])
		pid, pidfd := child(t)
		init, initFD := child(t)
		l := &Launch{report: fds[0], sync: -1, pidfd: -1, first: pid, firstFD: pidfd}
		if said {
			if _, err := unix.Write(fds[1], signalRecord(compile.TagInit, init)); err != nil {
				t.Fatal(err)
			}
		}
		time.AfterFunc(20*time.Millisecond, func() { unix.Kill(pid, unix.SIGKILL) })
		l.firstFD, _ = unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0)
		err := l.await("init")
		if said && (err != nil || l.Init() != init || l.firstFD != -1 || l.pidfd < 0) || !said && (!errors.Is(err, ErrDied) || l.Init() != 0) {
			t.Errorf("%s: %v, init %d", name, err, l.Init())
		}
		l.meetInit()
		if lives := alive(t, initFD); lives == said {
			t.Errorf("%s: init lives: %v", name, lives)
		}
		descriptor.Close(&l.firstFD)
		descriptor.Close(&l.pidfd)
	}
}

// Who has made an init of which only the report tells is asked before all is over.
func TestMeetInit(t *testing.T) {
	init, initFD := child(t)
	first, firstFD := child(t)
	l := reported(t, signalRecord(compile.TagUser, 0), failure(1, unix.EPERM), signalRecord(compile.TagInit, init))
	l.first = first
	l.firstFD, _ = unix.FcntlInt(uintptr(firstFD), unix.F_DUPFD_CLOEXEC, 0)
	l.meetInit()
	if l.Init() != init || alive(t, initFD) || alive(t, firstFD) {
		t.Errorf("init %d of %d", l.Init(), init)
	}
	if status := l.reapAll(); !status.Signaled() || status.Signal() != unix.SIGKILL || !l.reaped {
		t.Errorf("%v", status)
	}
	l.Close()
	if l.pidfd != -1 {
		t.Error("the pidfd is open")
	}
	// A report that has ended tells no more.
	l = reported(t)
	l.first, l.firstFD = child(t)
	l.meetInit()
	if l.Init() != 0 {
		t.Errorf("init %d", l.Init())
	}
}

// Whom kill ends: init, by its pidfd if there is one, and the first process unless
// that stays with an init that is known, or was reaped.
func TestKill(t *testing.T) {
	for _, test := range []struct {
		name                string
		pidfd, stays, made  bool
		reaped              bool
		initEnds, firstEnds bool
	}{
		{"all is known", true, false, true, false, true, true},
		{"no pidfd", false, false, true, false, true, true},
		{"no init", false, false, false, false, false, true},
		{"it stays", true, true, true, false, true, false},
		{"it stays, no pidfd", false, true, true, false, false, true},
		{"it stays, no init", false, true, false, false, false, true},
		{"reaped", true, false, true, true, true, false},
	} {
		init, initFD := child(t)
		first, firstFD := child(t)
		l := &Launch{first: first, pidfd: -1, firstFD: -1, sync: -1, stays: test.stays, reaped: test.reaped}
		if test.made {
			l.init = init
		}
		if test.pidfd {
			l.pidfd = initFD
		}
		l.kill()
		if got := !alive(t, initFD); got != test.initEnds {
			t.Errorf("%s: init ended: %v", test.name, got)
		}
		if got := !alive(t, firstFD); got != test.firstEnds {
			t.Errorf("%s: the first process ended: %v", test.name, got)
		}
	}
}

// The status is init's, or the first process's where init is not our child or never
// was.
func TestReapAll(t *testing.T) {
	exits := func(status string) int {
		cmd := exec.Command("sh", "-c", "exit "+status)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd.Process.Pid
	}
	for _, test := range []struct {
		name                string
		made, stays, reaped bool
		want                int
	}{
		{"both", true, false, false, 4},
		{"no init", false, false, false, 3},
		{"it stays", true, true, false, 3},
		{"reaped before", true, false, true, 4},
	} {
		first := exits("3")
		l := &Launch{first: first, stays: test.stays, reaped: test.reaped}
		if test.made {
			l.init = exits("4")
		}
		if got := l.reapAll().ExitStatus(); got != test.want || !l.reaped {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
		if pid, err := unix.Wait4(first, nil, 0, nil); test.reaped == (err != nil) {
			t.Errorf("%s: the first process: %d, %v", test.name, pid, err)
		}
	}
}

// The first process is waited for once init is made, unless it stays or passes a
// listener on.
func TestReapFirst(t *testing.T) {
	for _, test := range []struct {
		name                  string
		stays, listens, waits bool
		want                  bool
	}{
		{"usual", false, false, false, true},
		{"created", false, false, true, true},
		{"with a listener", false, true, false, true},
		{"created, with a listener", false, true, true, false},
		{"stays", true, false, false, false},
	} {
		cmd := exec.Command("true")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		l := &Launch{Options: Options{Result: &compile.Result{Listens: test.listens}}, first: cmd.Process.Pid, waits: test.waits}
		if test.stays {
			l.Stay()
		}
		if l.reapFirst(); l.reaped != test.want || l.Stays() != test.stays {
			t.Errorf("%s: reaped: %v", test.name, l.reaped)
		}
		if _, err := unix.Wait4(cmd.Process.Pid, nil, 0, nil); (err != nil) != test.want {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	_, pidfd := child(t)
	l := &Launch{Options: Options{Result: &compile.Result{}}}
	if l.reapFirst(); l.reaped || l.reap(0) != 0 || !alive(t, pidfd) {
		t.Error("nobody was to be reaped")
	}
}

// A cancellation ends what is known, and gives a first process that makes init the
// time to say so.
func TestCancel(t *testing.T) {
	var sync [2]int
	if err := unix.Pipe2(sync[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sync[0])
	first, firstFD := child(t)
	l := &Launch{first: first, firstFD: firstFD, pidfd: -1, sync: sync[1]}
	begun := time.Now()
	l.cancel()
	if took := time.Since(begun); took < grace || took > 3*grace || alive(t, firstFD) {
		t.Errorf("after %v", took)
	}
	var b [1]byte
	if n, err := unix.Read(sync[0], b[:]); n != 0 || err != nil || l.sync != -1 {
		t.Errorf("sync is open: %d, %v", n, err)
	}
	init, initFD := child(t)
	l = &Launch{init: init, pidfd: initFD, firstFD: -1, sync: -1}
	begun = time.Now()
	if l.cancel(); time.Since(begun) > grace/2 || alive(t, initFD) {
		t.Errorf("with an init: after %v", time.Since(begun))
	}
}

// What an end by a signal was is said; of a cancellation the context's error.
func TestFail(t *testing.T) {
	for name, test := range map[string]struct {
		err       error
		cancelled bool
		want      string
	}{
		"died":      {ErrDied, false, ErrDied.Error() + ": killed by SIGKILL"},
		"failed":    {unix.EPERM, false, unix.EPERM.Error()},
		"cancelled": {ErrDied, true, context.Canceled.Error()},
	} {
		init, initFD := child(t)
		ctx, cancel := context.WithCancel(t.Context())
		if test.cancelled {
			cancel()
		}
		l := &Launch{init: init, pidfd: -1, firstFD: -1, sync: -1, report: -1}
		err := l.fail(ctx, test.err)
		if err == nil || err.Error() != test.want || !test.cancelled && !errors.Is(err, test.err) || alive(t, initFD) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for ended := false; !ended; time.Sleep(time.Millisecond) { // by itself
		id, err := proc.Of(cmd.Process.Pid)
		ended = err != nil || !id.Alive()
	}
	l := &Launch{init: cmd.Process.Pid, pidfd: -1, firstFD: -1, sync: -1, report: -1}
	if err := l.fail(t.Context(), ErrDied); !errors.Is(err, ErrDied) || err.Error() != ErrDied.Error() {
		t.Errorf("%v", err)
	}
	l = reported(t, failure(0, unix.ENOSPC)) // and was found dead before that was read
	l.Result, l.Facts = compiled(t, "/bin/true"), &host.Facts{}
	if err := l.fail(t.Context(), fmt.Errorf("%w: read its start time", ErrDied)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v", err)
	}
}

// The second part is compiled when its turn comes, and written for the stage.
func TestCompileRest(t *testing.T) {
	l := New(Options{Rest: func(context.Context) (*compile.Result, error) { return nil, unix.EDOM }})
	if err := l.compileRest(t.Context()); !errors.Is(err, unix.EDOM) || l.Result != nil {
		t.Error(err)
	}
}

// A /proc of another PID namespace is refused; ours is not.
func TestOwnProc(t *testing.T) {
	if err := ownProc(); err != nil {
		t.Error(err)
	}
}

// TestMain gives the tests a process group of their own: a signal that goes to the
// wrong process ends them alone.
func TestMain(m *testing.M) {
	_ = unix.Setpgid(0, 0)
	os.Exit(m.Run())
}
