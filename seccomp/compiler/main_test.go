package compiler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/bpf"
	"github.com/homerun-oci/homerun/seccomp/bpf/bpftest"
)

const childVariable = "HOMERUN_SECCOMP_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		child()
	}
	code := m.Run()
	os.RemoveAll(builtHelperDir)
	os.Exit(code)
}

// The helper is built once for all tests.
var (
	buildHelper    sync.Once
	builtHelperDir string
	errHelper      error
)

func helper(t testing.TB) string {
	t.Helper()
	buildHelper.Do(func() {
		if builtHelperDir, errHelper = os.MkdirTemp("", "homerun-seccomp"); errHelper != nil {
			return
		}
		errHelper = build(builtHelperDir)
	})
	if errHelper == nil {
		return filepath.Join(builtHelperDir, Name)
	}
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skipf("homerun-seccomp cannot be built: %v", errHelper)
	}
	t.Fatalf("homerun-seccomp cannot be built (libseccomp-dev missing?): %v", errHelper)
	return ""
}

// build makes the helper as the Makefile does.
func build(dir string) error {
	c := exec.Command("go", "build", "-trimpath", "-ldflags", `-s -w -linkmode external -extldflags "-static"`, "-o", dir, "../../cmd/homerun-seccomp")
	c.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func profile(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// call is a system call that the child makes, and what came of it.
type call struct {
	NR   uint64
	Args [6]uint64
}

// onKernel loads a program in a child and gives the errno of each call, 0 for
// success. The program must be such that its calls return.
func onKernel(t *testing.T, f *seccomp.Filter, calls []call) []unix.Errno {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = []string{childVariable + "=1", "GODEBUG=asyncpreemptoff=1", "GOGC=off", "GORACE=" + os.Getenv("GORACE")}
	c.Stderr = os.Stderr
	in, _ := c.StdinPipe()
	go func() {
		defer in.Close()
		binary.Write(in, binary.LittleEndian, []uint64{uint64(f.Flags), uint64(len(f.Program)), uint64(len(calls))})
		in.Write(f.Program)
		binary.Write(in, binary.LittleEndian, calls)
	}()
	out, err := c.Output()
	if err != nil || len(out) != 8*len(calls) {
		t.Fatalf("child: %v, %d bytes for %d calls", err, len(out), len(calls))
	}
	errnos := make([]unix.Errno, len(calls))
	for i := range errnos {
		errnos[i] = unix.Errno(binary.LittleEndian.Uint64(out[8*i:]))
	}
	return errnos
}

// child loads the filter in one thread, which makes the calls and then spins:
// it may be left without a single call that it is allowed. Another thread,
// which has no filter, reports. Preemption by signal would need calls.
func child() {
	var head [3]uint64
	binary.Read(os.Stdin, binary.LittleEndian, &head)
	program := make([]byte, head[1])
	io.ReadFull(os.Stdin, program)
	calls := make([]call, head[2])
	binary.Read(os.Stdin, binary.LittleEndian, calls)
	results := make([]uint64, len(calls))
	var done atomic.Bool
	go func() {
		runtime.LockOSThread()
		load(program, uintptr(head[0]))
		for i := range calls {
			c := &calls[i]
			_, _, e := unix.RawSyscall6(uintptr(c.NR), uintptr(c.Args[0]), uintptr(c.Args[1]), uintptr(c.Args[2]), uintptr(c.Args[3]), uintptr(c.Args[4]), uintptr(c.Args[5]))
			results[i] = uint64(e)
		}
		done.Store(true)
		//lint:ignore SA5002 the filter may forbid whatever else this thread could do
		for {
		}
	}()
	for deadline := time.Now().Add(20 * time.Second); !done.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			os.Exit(3)
		}
	}
	binary.Write(os.Stdout, binary.LittleEndian, results)
	os.Exit(0)
}

func load(program []byte, flags uintptr) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "no_new_privs:", err)
		os.Exit(4)
	}
	p := unix.SockFprog{Len: uint16(len(program) / bpf.InstructionSize), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	if _, _, e := unix.RawSyscall(unix.SYS_SECCOMP, setModeFilter, flags, uintptr(unsafe.Pointer(&p))); e != 0 {
		fmt.Fprintln(os.Stderr, "seccomp:", e)
		os.Exit(5)
	}
}

var errNotDecided = errors.New("the filter does not return an errno")

// decided gives the errno that the filter makes of a call.
func decided(p []bpf.Instruction, c call) (unix.Errno, error) {
	v := bpftest.Interpret(p, bpftest.Data{NR: uint32(c.NR), Arch: bpf.AuditX86_64, Args: c.Args})
	if v&bpf.ActionMask != bpf.Errno {
		return 0, errNotDecided
	}
	return unix.Errno(v &^ uint32(bpf.ActionMask)), nil
}
