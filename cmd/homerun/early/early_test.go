package early

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleVariable makes this program catch signals instead of testing.
const roleVariable = "HOMERUN_TEST_EARLY"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		do := catch
		if role == all || role == tooLate {
			do = func() error { return catchAll(role == tooLate) }
		}
		if err := do(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// catch sends itself signals before and after os/signal takes over, and says
// what came.
func catch() error {
	s, err := Catch(unix.SIGHUP, unix.SIGUSR1, unix.SIGTERM)
	if err != nil {
		return err
	}
	for _, n := range []unix.Signal{unix.SIGTERM, unix.SIGUSR1, unix.SIGHUP} {
		if err := unix.Kill(unix.Getpid(), n); err != nil {
			return err
		}
		for bit := uint64(1) << (n - 1); atomic.LoadUint64(&pending)&bit == 0; {
			time.Sleep(time.Millisecond)
		}
	}
	c := make(chan os.Signal, 64)
	s.HandOver(c)
	say(c, 3)
	if os.Getenv(roleVariable) == late {
		return catchLate()
	}
	for _, n := range []unix.Signal{unix.SIGUSR1, unix.SIGHUP, unix.SIGUSR2} {
		if err := unix.Kill(unix.Getpid(), n); err != nil {
			return err
		}
		say(c, 1)
	}
	return nil
}

// all is the role of one that catches all before os/signal takes over, tooLate of one that would after that.
const (
	all     = "all"
	tooLate = "too late"
)

func catchAll(late bool) error {
	if err := new(Signals).CatchAll(); err != nil {
		return err
	}
	s, err := Catch(unix.SIGHUP)
	if err != nil {
		return err
	}
	c := make(chan os.Signal, 64)
	sent := []unix.Signal{unix.SIGHUP, unix.SIGALRM, unix.SIGSTKFLT, unix.SIGTSTP, 35, 64}
	if !late {
		if err := s.CatchAll(); err != nil {
			return err
		}
		for _, n := range []unix.Signal{unix.SIGSYS, unix.SIGTRAP, unix.SIGSEGV, unix.SIGURG, unix.SIGCHLD} {
			if slices.Contains(s.caught, n) {
				return fmt.Errorf("%v is caught", n)
			}
		}
		for _, n := range sent {
			if err := unix.Kill(unix.Getpid(), n); err != nil {
				return err
			}
			for bit := uint64(1) << (n - 1); atomic.LoadUint64(&pending)&bit == 0; {
				time.Sleep(time.Millisecond)
			}
		}
		s.HandOver(c)
		if err := receive(c, sent...); err != nil {
			return err
		}
	} else {
		s.HandOver(c)
	}
	if err := s.CatchAll(); err != nil {
		return err
	}
	for _, n := range sent {
		if err := unix.Kill(unix.Getpid(), n); err != nil {
			return err
		}
		if err := receive(c, n); err != nil {
			return err
		}
	}
	return nil
}

// receive wants these signals, and the runtime's own between them.
func receive(c <-chan os.Signal, want ...unix.Signal) error {
	for len(want) > 0 {
		select {
		case got := <-c:
			if got == unix.SIGURG {
				continue
			}
			if got != want[0] {
				return fmt.Errorf("%v came in place of %v", got, want[0])
			}
			want = want[1:]
		case <-time.After(10 * time.Second):
			return fmt.Errorf("%v does not come", want[0])
		}
	}
	return nil
}

// late is the role of one whose handler comes to its bit after HandOver.
const late = "late"

// catchLate has the kernel begin a handler of this package once more, with what it then
// sends going to the default action, which ends the process.
func catchLate() error {
	const resetHand = 0x80000000
	ours := action{handler: handlerPC, flags: saOnStack | saRestart | resetHand, restorer: restorerPC, mask: ^uint64(0)}
	if restorerPC != 0 {
		ours.flags |= saRestorer
	}
	if err := setAction(unix.SIGHUP, &ours, nil); err != nil {
		return err
	}
	if err := unix.Kill(unix.Getpid(), unix.SIGHUP); err != nil {
		return err
	}
	time.Sleep(10 * time.Second)
	return nil
}

// say prints the next signals, but the runtime's own.
func say(c <-chan os.Signal, n int) {
	for n > 0 {
		select {
		case s := <-c:
			if s != unix.SIGURG {
				fmt.Println(unix.SignalName(s.(unix.Signal)))
				n--
			}
		case <-time.After(10 * time.Second):
			fmt.Println("nothing")
			n--
		}
	}
}

const want = "SIGHUP SIGUSR1 SIGTERM SIGUSR1 SIGHUP SIGUSR2"

func TestHandOver(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("plain", func(t *testing.T) { compare(t, self) })
	// nohup(1): Go itself leaves a SIGHUP alone that was ignored at the start.
	t.Run("nohup", func(t *testing.T) { compare(t, "sh", "-c", `trap "" HUP; exec "$0"`, self) })
}

// TestCatchAll: all signals that os/signal would pass on are, whoever has them, and once each.
func TestCatchAll(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, role := range []string{all, tooLate} {
		cmd := exec.CommandContext(ctx, self)
		cmd.Env = append(os.Environ(), roleVariable+"="+role)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", role, err, out)
		}
	}
}

// TestForeign is TestHandOver on the other machines, emulated.
func TestForeign(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and emulates")
	}
	for machine, emulator := range map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64", "riscv64": "qemu-riscv64"} {
		if machine != runtime.GOARCH {
			t.Run(machine, func(t *testing.T) { foreign(t, machine, emulator) })
		}
	}
}

func foreign(t *testing.T, machine, emulator string) {
	if _, err := exec.LookPath(emulator); err != nil {
		if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "early")
	build := exec.Command("go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "GOARCH="+machine, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for %s: %v\n%s", machine, err, out)
	}
	compare(t, emulator, program)
}

func compare(t *testing.T, command ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"=1")
	out, err := cmd.CombinedOutput()
	if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != want {
		t.Errorf("got %s, want %s; %v", got, want, err)
	}
	cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+late)
	err = cmd.Run()
	if ended, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ended.Signal() != unix.SIGHUP {
		t.Errorf("a signal whose handler is late is not sent again: %v", err)
	}
}

// TestRefused asks for a signal that nobody can catch.
func TestRefused(t *testing.T) {
	if _, err := Catch(unix.SIGKILL); err == nil || !strings.Contains(err.Error(), "catch SIGKILL: invalid argument") {
		t.Errorf("the error is %v", err)
	}
}
