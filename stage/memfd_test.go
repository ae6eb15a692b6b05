package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/spawn"
	"golang.org/x/sys/unix"
)

// forbiddenVariable names a directory that takes the image instead.
const forbiddenVariable = "HOMERUN_TEST_STAGE_FORBIDDEN"

// waiting starts a stage of many operations that waits in a read, and returns
// what it has mapped or open below /proc.
func waiting(t *testing.T) (proc string, pid int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pid, report := start(t, r, waitingPlan)
	t.Cleanup(func() {
		w.Close() // the read returns 0
		wait(t, pid)
	})
	if rec, err := ReadRecord(int(report.Fd())); err != nil || rec.Tag != 1 {
		t.Fatalf("record %v, %v", rec, err)
	}
	return "/proc/" + strconv.Itoa(pid), pid
}

// waitingPlan is as long as that of a container with its mounts.
func waitingPlan(b *plan.Builder) {
	for i := range 200 {
		b.Do(plan.Faccessat{DirFD: plan.AtCWD(), Path: "/proc/" + strings.Repeat("./", i%40)})
	}
	signal(b, 1)
	b.Do(plan.Read{FD: plan.Int(0), Size: 1})
	b.Do(plan.ExitGroup{})
}

func TestImageCannotBeWritten(t *testing.T) {
	proc, pid := waiting(t)
	if name, err := os.Readlink(proc + "/exe"); err != nil || name != "/memfd:homerun (deleted)" {
		t.Errorf("the process executes %q, %v", name, err)
	}
	if f, err := os.OpenFile(proc+"/exe", os.O_WRONLY, 0); !errors.Is(err, unix.ETXTBSY) {
		t.Errorf("open for writing while it runs: %v, %v; want ETXTBSY", f, err)
	}
	exe, err := os.Open(proc + "/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	if got, err := unix.FcntlInt(exe.Fd(), unix.F_GET_SEALS, 0); err != nil || got != seals {
		t.Errorf("seals %#x, %v; want %#x", got, err, seals)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, exe)
	for name, call := range map[string]func() error{
		"write":  func() error { _, err := again.WriteAt([]byte("x"), 0); return err },
		"shrink": func() error { return again.Truncate(0) },
		"grow":   func() error { return again.Truncate(1 << 20) },
	} {
		if err := call(); !errors.Is(err, unix.EPERM) {
			t.Errorf("%s the image that no process runs any more: %v, want EPERM", name, err)
		}
	}
}

// reopen opens an image for writing, which works once its process is gone.
func reopen(t *testing.T, exe *os.File) *os.File {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		f, err := os.OpenFile(descriptor.Path(int(exe.Fd())), os.O_RDWR, 0)
		if err == nil {
			t.Cleanup(func() { f.Close() })
			return f
		}
		if !errors.Is(err, unix.ETXTBSY) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestFootprint: DESIGN.md, "Budgets". A process in a tiny cgroup has no more.
func TestFootprint(t *testing.T) {
	proc, _ := waiting(t)
	smaps, err := os.ReadFile(proc + "/smaps")
	if err != nil {
		t.Fatal(err)
	}
	sum := map[string]int{}
	for _, line := range strings.Split(string(smaps), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "kB" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			sum[f[0]] += n
		}
	}
	page := os.Getpagesize() / 1024
	if n := sum["Rss:"]; n < page || n > 16*page {
		t.Errorf("the stage touches %d kB, at most %d\n%s", n, 16*page, smaps)
	}
	if n := sum["Private_Dirty:"]; n < page || n >= 100 {
		t.Errorf("the stage holds %d kB of its own, less than 100 wanted\n%s", n, smaps)
	}
}

// TestForbiddenMemfd starts a stage in a PID namespace where vm.memfd_noexec is
// 2; each has its own.
func TestForbiddenMemfd(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a PID namespace")
	}
	if os.Getuid() != 0 {
		t.Skip("only root may forbid executable memfds")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = []string{forbiddenVariable + "=" + t.TempDir()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// startWithoutMemfd is the first process of that namespace.
func startWithoutMemfd(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := os.WriteFile("/proc/sys/vm/memfd_noexec", []byte("2"), 0); err != nil {
		return err
	}
	if fd, err := executableMemfd(); !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("vm.memfd_noexec has no effect: memfd_create gives %d, %v", fd, err)
	}
	p, err := build(waitingPlan)
	if err != nil {
		return err
	}
	s, err := Start(Config{Plan: p, Files: []uintptr{0, 1, 2}})
	if err == nil || !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), "vm.memfd_noexec") {
		return fmt.Errorf("without a directory Start gives %d, %w", s.PID, err)
	}
	if err := unix.Mount("tmpfs", "/mnt", "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	const want = "executable memfds are forbidden (vm.memfd_noexec), and no directory takes an executable file, " +
		"/mnt (mounted noexec), /nowhere (no such file or directory): permission denied"
	if s, err = Start(Config{Plan: p, Files: []uintptr{0, 1, 2}, Directories: []string{"/mnt", "/nowhere"}}); err == nil || err.Error() != want {
		return fmt.Errorf("without a directory that does Start gives %d, %w", s.PID, err)
	}
	if err := startFromFile(p, dir); err != nil {
		return err
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		return fmt.Errorf("left in the directory: %v, %w", left, err)
	}
	return nil
}

// startFromFile starts a stage whose image is an unnamed file in the last of
// some directories, and looks whether it can be written.
func startFromFile(p *plan.Plan, dir string) error {
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	s, err := Start(Config{Plan: p, Files: []uintptr{in.Fd(), 1, 2, w.Fd()}, Directories: []string{"/nonexistent", "/proc", dir}})
	w.Close()
	if err != nil {
		return err
	}
	if rec, err := ReadRecord(int(r.Fd())); err != nil || rec.Tag != 1 {
		return fmt.Errorf("record %v, %w", rec, err)
	}
	if _, err := os.OpenFile("/proc/"+strconv.Itoa(s.PID)+"/exe", os.O_WRONLY, 0); !errors.Is(err, unix.ETXTBSY) {
		return fmt.Errorf("open the image for writing while it runs: %v, want ETXTBSY", err)
	}
	out.Close()
	var status unix.WaitStatus
	if _, err := unix.Wait4(s.PID, &status, 0, nil); err != nil || status != 0 {
		return fmt.Errorf("wait: status %#x, %w", int(status), err)
	}
	return nil
}

// TestFilesConcurrently: an image's file is executed though other processes are made
// meanwhile, which have all descriptors up to their execve.
func TestFilesConcurrently(t *testing.T) {
	p, err := build(func(b *plan.Builder) { b.Do(plan.ExitGroup{Status: 3}) })
	if err != nil {
		t.Fatal(err)
	}
	img, _ := newImage(p, code())
	dir, files := t.TempDir(), []uintptr{0, 1, 2}
	start := func() error {
		fd, err := unnamedIn(dir, img)
		if err == nil {
			fd, err = moveUp(fd, files)
		}
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		s, err := spawn.Start(spawn.Program{Path: descriptor.Path(fd), Args: []string{"stage"}, Files: files, OpenFiles: openFiles(t)})
		if err != nil {
			return err
		}
		var status unix.WaitStatus
		if _, err := unix.Wait4(s.PID, &status, 0, nil); err != nil {
			return err
		}
		return s.Failed()
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if err := start(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
