package launch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// These launches have a real stage. Their plan is that of a hook of the host, which
// anybody may run: a first process makes init, and init becomes the program.

// compiled is the plan of a program of the host.
func compiled(t *testing.T, path string, args ...string) *compile.Result {
	t.Helper()
	j := compile.Join{ContainerID: "web", Process: &specs.Process{Cwd: t.TempDir()}, AsCaller: true,
		Hook: &specs.Hook{Path: path, Args: append([]string{path}, args...), Env: []string{"A=b"}}}
	result, err := compile.CompileJoin(j, &host.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// launching prepares that plan, with /dev/null for its streams.
func launching(t *testing.T, path string, args ...string) *Launch {
	t.Helper()
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := New(Options{Result: compiled(t, path, args...), Facts: &host.Facts{}, Stdio: [3]int{null, null, null},
		Do: func(_ context.Context, a plan.Action) error { return errors.New("who does " + a.Line() + "?") }})
	l.OpenFiles = &unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, l.OpenFiles); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); unix.Close(null) })
	return l
}

// children lists this process's, which are none when a test begins.
func children(t *testing.T) (list []string) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tasks {
		text, _ := os.ReadFile(name) // the thread may have ended
		list = append(list, strings.Fields(string(text))...)
	}
	return list
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A plan runs: the program is a child of this process, the first process was reaped,
// each step was told before it was done, and nothing stays open but init's pidfd.
func TestRun(t *testing.T) {
	t.Run("whole", func(t *testing.T) { run(t, nil) })
	t.Run("with room for a second part", func(t *testing.T) {
		run(t, func(context.Context) (*compile.Result, error) { return nil, errors.New("not yet") })
	})
}

func run(t *testing.T, rest func(context.Context) (*compile.Result, error)) {
	out := filepath.Join(t.TempDir(), "out")
	before := descriptors(t)
	l := launching(t, "/bin/sh", "-c", "echo $A > "+out+"; exit 7")
	l.Rest = rest
	var told []string
	l.Debug = func(line string) { told = append(told, line) }
	var begun []int // the first process, at each call
	l.Begun = func(context.Context) { begun = append(begun, l.First()) }
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	loaded := 0
	l.LoadFilter = func(context.Context) { loaded++ }
	if l.waits = false; l.do(t.Context(), action.LoadFilter{}) != nil || loaded != 1 {
		t.Errorf("the filter was loaded %d times", loaded)
	}
	if !slices.Equal(begun, []int{l.First()}) {
		t.Errorf("begun with %v, first process %d", begun, l.First())
	}
	var want []string
	for i := range l.Result.Plan.Runtime() {
		want = append(want, l.Result.Plan.RuntimeLine(i))
	}
	if !slices.Equal(told, want) || len(want) < 3 {
		t.Errorf("told %q, want %q", told, want)
	}
	if got := children(t); len(got) > 1 || l.Init() == 0 || l.First() == 0 || l.Init() == l.First() {
		t.Errorf("children %v, init %d, first %d", got, l.Init(), l.First())
	}
	pidfd := l.TakePidfd()
	if again := l.TakePidfd(); pidfd < 0 || again != -1 {
		t.Errorf("pidfds %d and %d", pidfd, again)
	}
	if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err != nil && err != unix.ESRCH {
		t.Error(err)
	}
	unix.Close(pidfd)
	var status unix.WaitStatus
	if pid, err := unix.Wait4(l.Init(), &status, 0, nil); pid != l.Init() || err != nil || status.ExitStatus() != 7 {
		t.Errorf("%d, %v, status %d", pid, err, status.ExitStatus())
	}
	if text, err := os.ReadFile(out); err != nil || string(text) != "b\n" {
		t.Errorf("%q, %v", text, err)
	}
	l.Close()
	if now := descriptors(t); now > before+1 { // that of launching; what an earlier test left is closed meanwhile
		t.Errorf("%d descriptors, %d before", now, before)
	}
}

// An operation that fails is said by its name, and all is reaped.
func TestRunFails(t *testing.T) {
	l := launching(t, "/no/such/program")
	err := l.Run(t.Context())
	var e *fault.Error
	if !errors.As(err, &e) || e.Errno != unix.ENOENT || !strings.Contains(e.Step, `execve("/no/such/program"`) {
		t.Errorf("%v", err)
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A stage that is never executed is said to be that, whether the runtime has been told
// before or sees it at the end of the report.
func TestRunNotStarted(t *testing.T) {
	for _, limit := range []*unix.Rlimit{nil, launching(t, "/bin/true").OpenFiles} {
		l := launching(t, "/bin/true")
		l.OpenFiles, l.Stdio[2] = limit, 971
		if err := l.Run(t.Context()); err == nil || err.Error() != "start the stage: bad file descriptor" {
			t.Errorf("%v", err)
		}
		if left := children(t); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	l := launching(t, "/bin/true")
	l.Stdio[2] = 971
	err := l.start("stage")
	if err == nil {
		err = l.awaitProgram()
	}
	if err == nil || err.Error() != "start the stage: bad file descriptor" {
		t.Errorf("awaitProgram: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.fail(ctx, err); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, too: %v", err)
	}
	l.closePipes()
}

// An action of the caller's that fails, whichever step it is, is the launch's
// failure; nothing of the stage is left.
func TestDoFails(t *testing.T) {
	for at := range launching(t, "/bin/sleep", "60").Result.Plan.Runtime() {
		l := launching(t, "/bin/sleep", "60")
		l.Result.Plan.Runtime()[at].Action = action.NamePidFile{Path: "pid"}
		before := descriptors(t)
		if err := l.Run(t.Context()); err == nil || err.Error() != `who does rename("pid")?` {
			t.Errorf("step %d: %v", at+1, err)
		}
		if left := children(t); len(left) > 0 {
			t.Errorf("step %d: left %v", at+1, left)
		}
		l.Close()
		if now := descriptors(t); now > before {
			t.Errorf("step %d: %d descriptors, %d before", at+1, now, before)
		}
	}
}

// troubles are what happens at a step, and what is said of it.
func troubles() map[string]func(l *Launch, cancel func()) {
	return map[string]func(l *Launch, cancel func()){
		"cancelled":   func(_ *Launch, cancel func()) { cancel() },
		"init dies":   func(l *Launch, _ func()) { end(l.Init()) },
		"first dies":  func(l *Launch, _ func()) { end(l.First()) },
		"both die":    func(l *Launch, _ func()) { end(l.Init()); end(l.First()) },
		"later":       func(_ *Launch, cancel func()) { time.AfterFunc(2*time.Millisecond, cancel) },
		"sync closed": func(l *Launch, _ func()) { l.lock.Lock(); defer l.lock.Unlock(); descriptor.Close(&l.sync) },
	}
}

// reapStrangers ends and reaps an init of which nobody could say who it is: that of
// a hook waits for no answer, and has become the program.
func reapStrangers(t *testing.T) {
	t.Helper()
	for _, text := range children(t) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		end(pid)
		_, _ = unix.Wait4(pid, nil, 0, nil)
	}
}

func end(pid int) {
	if pid > 0 {
		unix.Kill(pid, unix.SIGKILL)
	}
}

// Whatever happens at whichever step, the launch ends; with an error nobody is left,
// and without one the program runs, or has been killed since.
func TestTroubleAtEachStep(t *testing.T) {
	for name, trouble := range troubles() {
		for at := range launching(t, "/bin/sleep", "60").Result.Plan.Runtime() {
			l := launching(t, "/bin/sleep", "60")
			ctx, cancel := context.WithCancel(t.Context())
			step := 0
			l.Debug = func(string) {
				if step == at {
					trouble(l, cancel)
				}
				step++
			}
			done := make(chan error, 1)
			go func() { done <- l.Run(ctx) }()
			var err error
			select {
			case err = <-done:
			case <-time.After(20 * time.Second):
				t.Fatalf("%s at step %d: hangs", name, at+1)
			}
			if name == "cancelled" && !errors.Is(err, context.Canceled) {
				t.Errorf("%s at step %d: %v", name, at+1, err)
			}
			cancel()
			if err == nil {
				end(l.Init())
				unix.Wait4(l.Init(), nil, 0, nil)
			}
			l.Close()
			if strings.HasSuffix(name, "die") || strings.HasSuffix(name, "dies") {
				reapStrangers(t)
			}
			if left := children(t); len(left) > 0 {
				t.Errorf("%s at step %d, %v: left %v", name, at+1, err, left)
			}
		}
	}
}

// A context that has ended lets nothing start, and one that ends when all is done
// comes too late.
func TestCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := launching(t, "/bin/sleep", "60")
	if err := l.Run(ctx); !errors.Is(err, context.Canceled) || l.First() != 0 {
		t.Errorf("%v, first process %d", err, l.First())
	}
}

// Leave ends what is done; what follows is for somebody else.
func TestLeave(t *testing.T) {
	l := launching(t, "/bin/sleep", "60")
	steps := l.Result.Plan.Runtime()
	steps[0].Action = action.MakeFIFOs{}
	steps[1].Action = action.Leave{}
	var done []string
	l.Do = func(_ context.Context, a plan.Action) error {
		done = append(done, a.Line())
		return nil
	}
	if err := l.Run(t.Context()); err != nil || len(done) != 1 || l.First() != 0 {
		t.Errorf("%v, %q", err, done)
	}
}

// The stage gets the streams, what is preserved, and the plan's inputs, in order.
func TestFiles(t *testing.T) {
	l := launching(t, "/bin/true")
	l.Stdio = [3]int{7, 8, 9}
	names := map[int]string{}
	for _, in := range l.Result.Plan.Inputs() {
		names[in.FD] = in.Name
	}
	files, err := l.files(101, 102)
	if err != nil || len(files) != 3+len(names) || files[0] != 7 || files[1] != 8 || files[2] != 9 {
		t.Fatalf("%v, %v", files, err)
	}
	for fd, name := range names {
		if want := map[string]uintptr{compile.InputReport: 101, compile.InputSync: 102}[name]; files[fd] != want {
			t.Errorf("%s is %d, want %d", name, files[fd], want)
		}
	}
	l.Result.Plan.Preserved, l.Files = 3, []int{11, -1}
	gap := ^uintptr(0)
	if files, err := l.files(101, 102); err != nil || len(files) != 6+len(names) || !slices.Equal(files[:6], []uintptr{7, 8, 9, 11, gap, gap}) {
		t.Errorf("with three to preserve: %v, %v", files, err)
	}
	j := compile.Join{ContainerID: "web", Process: &specs.Process{Cwd: "/", Args: []string{"x"}}, Namespaces: unix.CLONE_NEWNS, AsCaller: true,
		Hook: &specs.Hook{Path: "/bin/true"}}
	if l.Result, err = compile.CompileJoin(j, &host.Facts{}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.files(101, 102); err == nil || err.Error() != "BUG: the plan's input init is not there" {
		t.Errorf("%v", err)
	}
	if err := l.Run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "BUG: ") || l.First() != 0 {
		t.Errorf("%v", err)
	}
}

// An input is the launch's: it is closed once.
func TestInputs(t *testing.T) {
	before := descriptors(t)
	l := New(Options{})
	if l.report != -1 || l.sync != -1 || l.pidfd != -1 || l.firstFD != -1 {
		t.Errorf("open from the start: %d, %d, %d, %d", l.report, l.sync, l.pidfd, l.firstFD)
	}
	for _, name := range []string{"a", "b"} {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		l.SetInput(name, fd)
	}
	l.CloseInput("a")
	l.CloseInput("a")
	l.CloseInput("none")
	if now := descriptors(t); now != before+1 {
		t.Errorf("%d descriptors, %d before", now, before)
	}
	l.Close()
	l.Close()
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors, %d before", now, before)
	}
}
