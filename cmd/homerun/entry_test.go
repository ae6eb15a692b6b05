package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestEntry begins at our own entry, on all machines: Go has one processor, and
// arguments and environment are all there.
func TestEntry(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and emulates")
	}
	for machine, emulator := range map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64", "riscv64": "qemu-riscv64"} {
		t.Run(machine, func(t *testing.T) {
			program := withEntry(t, machine)
			command := []string{program}
			if machine != runtime.GOARCH {
				if _, err := exec.LookPath(emulator); err != nil {
					missing(t, err)
				}
				command = []string{emulator, program}
			}
			begin(t, command)
		})
	}
}

// withEntry builds homerun for a machine, to begin at our own entry.
func withEntry(t *testing.T, machine string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "homerun")
	build := exec.Command("go", "build", "-ldflags=-E main.entry", "-o", program, ".")
	build.Env = append(os.Environ(), "GOARCH="+machine, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestLowLimits: what Go cannot start with is said in one line. The bounds of
// entry are tried on both sides.
func TestLowLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("builds")
	}
	program := withEntry(t, runtime.GOARCH)
	const low = "homerun: a limit is too low to start at all (ulimit -v, -d or -u)\n"
	for limit, want := range map[string]string{"-v 704511": low, "-d 32767": low, "-v 900000": "", "-d 90000": ""} {
		out, err := exec.Command("sh", "-c", "ulimit "+limit+`; exec "$0" --version >/dev/null`, program).CombinedOutput()
		if string(out) != want || (err == nil) != (want == "") {
			t.Errorf("ulimit %s: %v: %q", limit, err, out)
		}
	}
	if os.Getuid() != 0 {
		return // the user's other processes count too
	}
	if out, err := exec.Command("bash", "-c", `ulimit -u 3; exec "$0" --version`, program).CombinedOutput(); err != nil {
		t.Errorf("root: %v: %s", err, out)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(program)), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", `ulimit -u 3; exec "$0" --version`, program)
	cmd.SysProcAttr = &unix.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	if out, err := cmd.CombinedOutput(); err == nil || string(out) != low {
		t.Errorf("ulimit -u: %v: %s", err, out)
	}
}

// TestDeadline: a process with that policy cannot start a thread, which is said in one line;
// since Linux 6.10, by the timer slack of which entry knows it.
func TestDeadline(t *testing.T) {
	if testing.Short() {
		t.Skip("builds")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to have SCHED_DEADLINE")
	}
	program := withEntry(t, runtime.GOARCH)
	deadline := []string{"-d", "-T", "5000000", "-D", "10000000", "-P", "10000000", "0"}
	slack, err := exec.Command("chrt", append(deadline, "cat", "/proc/self/timerslack_ns")...).Output()
	if err != nil || string(slack) != "0\n" {
		missing(t, fmt.Errorf("a process with SCHED_DEADLINE: %w, timer slack %q", err, slack))
	}
	const says = "homerun: with SCHED_DEADLINE no thread can start: use chrt -R too\n"
	for reset, want := range map[string]string{"": says, "-R": ""} {
		args := append(deadline, program, "--version")
		if reset != "" {
			args = append([]string{reset}, args...)
		}
		cmd, stderr := exec.Command("chrt", args...), strings.Builder{}
		cmd.Stderr = &stderr
		if err := cmd.Run(); (err == nil) != (want == "") || stderr.String() != want {
			t.Errorf("chrt %s: %v: %s", reset, err, stderr.String())
		}
	}
}

func missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// begin has the program wait for its standard input until Go has printed its number
// of processors, which it does in its own time.
func begin(t *testing.T, command []string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	arguments := append([]string{"-c", `trap "" QUIT ABRT TERM; exec "$@"`, "sh"}, command...)
	cmd := exec.CommandContext(ctx, "sh", append(arguments, "--root", t.TempDir(), "update", "-r", "-", "nosuch")...)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=7", "GODEBUG=schedtrace=10"}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	found := false
	for !found && lines.Scan() {
		found = strings.Contains(lines.Text(), "gomaxprocs=1 ")
	}
	if !found {
		t.Error("nothing says that there is one processor")
	}
	awaitMain(t, cmd.Process.Pid)
	for tid, cpus := range onCPUs(t, cmd.Process.Pid) {
		if tid != cmd.Process.Pid && len(command) > 1 {
			continue // the emulator has threads that Go does not know
		}
		if want := onCPUs(t, os.Getpid())[os.Getpid()]; cpus != want {
			t.Errorf("%v: thread %d is on the CPUs %s, want %s", command, tid, cpus, want)
		}
	}
	if got, want := slack(t, cmd.Process.Pid), slack(t, os.Getpid()); got != want {
		t.Errorf("%v: timer slack %s, want %s", command, got, want)
	}
	// What the caller ignores stays so, although Go had a handler of its own.
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "\nSigIgn:\t")
	set, _, _ := strings.Cut(after, "\n")
	const want = 1<<(unix.SIGQUIT-1) | 1<<(unix.SIGABRT-1) | 1<<(unix.SIGTERM-1)
	if mask, err := strconv.ParseUint(set, 16, 64); err != nil || mask&want != want {
		t.Errorf("%v: the ignored signals are %s, want %x among them", command, set, want)
	}
	cancel()
	cmd.Wait()
}

// awaitMain waits until a program of begin reads its standard input, and so main has begun.
func awaitMain(t *testing.T, pid int) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		files, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/syscall"))
		for _, file := range files {
			if call, _ := os.ReadFile(file); strings.HasPrefix(string(call), fmt.Sprintf("%d 0x0 ", unix.SYS_READ)) {
				return
			}
		}
	}
	t.Error("it does not read its standard input")
}

// slack is a process's timer slack.
func slack(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "timerslack_ns"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestSpread: the threads of a program that was held to one CPU run where its caller may,
// whether they have the next numbers or not.
func TestSpread(t *testing.T) {
	one := firstCPU(t)
	defer farThread(t)()
	all := onCPUs(t, os.Getpid())[os.Getpid()]
	for name, spread := range map[string]func(){"next": spread, "listed": func() { spreadListed(&callersCPUs) }} {
		hold(t, one)
		spread()
		for tid, cpus := range onCPUs(t, os.Getpid()) {
			if cpus != all {
				t.Errorf("%s: thread %d is on %s, want %s", name, tid, cpus, all)
			}
		}
	}
}

// TestSpreadNarrow: a caller that has one CPU of more gets no others.
func TestSpreadNarrow(t *testing.T) {
	one := firstCPU(t)
	all := callersCPUs
	hold(t, one)
	defer func() { hold(t, all) }()
	want := onCPUs(t, os.Getpid())[os.Getpid()]
	callersCPUs = one
	spread()
	for tid, cpus := range onCPUs(t, os.Getpid()) {
		if cpus != want {
			t.Errorf("thread %d is on %s, want %s", tid, cpus, want)
		}
	}
}

// TestSpreadCpuset: CPUs that a cpuset gets later are for all threads of a caller that had
// all of it.
func TestSpreadCpuset(t *testing.T) {
	const root = "/sys/fs/cgroup/cpuset"
	if _, err := os.Stat(root + "/cpuset.cpus"); err != nil || os.Getuid() != 0 {
		t.Skip("needs root, and the cpuset controller of cgroup v1")
	}
	one := firstCPU(t)
	all := onCPUs(t, os.Getpid())[os.Getpid()]
	hold(t, one)
	few := onCPUs(t, os.Getpid())[os.Getpid()]
	hold(t, callersCPUs)
	pid := []byte(strconv.Itoa(os.Getpid()))
	own, err := os.ReadFile("/proc/self/cpuset")
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(root, strings.TrimSpace(string(own)))
	dir, err := os.MkdirTemp(old, "homerun-test-")
	if err != nil {
		t.Skip(err)
	}
	defer func() {
		if err := os.WriteFile(filepath.Join(old, "cgroup.procs"), pid, 0); err != nil {
			t.Error(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	}()
	mems, err := os.ReadFile(filepath.Join(old, "cpuset.mems"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	put("cpuset.mems", string(mems))
	put("cpuset.cpus", few)
	put("cgroup.procs", string(pid))
	saved := callersCPUs
	defer func() { callersCPUs = saved }()
	callersCPUs = one
	hold(t, one)
	spread()
	put("cpuset.cpus", all)
	for tid, cpus := range onCPUs(t, os.Getpid()) {
		if cpus != all {
			t.Errorf("thread %d is on %s once the cpuset has %s", tid, cpus, all)
		}
	}
}

// TestSpreadForeign: with the proc(5) of another PID namespace, where threads have other
// numbers, no other process is taken for one.
func TestSpreadForeign(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if os.Getenv("HOMERUN_SPREAD_FOREIGN") == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestSpreadForeign$")
		cmd.Env = append(os.Environ(), "HOMERUN_SPREAD_FOREIGN=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	one := firstCPU(t)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	number, _ := strconv.Atoi(threads[0].Name())
	other := exec.Command("sleep", "60")
	for range 20 { // a thread of this process may get it
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(number-1)), 0); err != nil {
			t.Fatal(err)
		}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer func(other *exec.Cmd) {
			other.Process.Kill()
			other.Wait()
		}(other)
		if other.Process.Pid == number {
			break
		}
		other = exec.Command("sleep", "60")
	}
	if other.Process == nil {
		t.Fatalf("no process got the number %d", number)
	}
	if err := unix.SchedSetaffinity(number, &one); err != nil {
		t.Fatal(err)
	}
	spreadListed(&callersCPUs)
	var now unix.CPUSet
	if err := unix.SchedGetaffinity(number, &now); err != nil || now != one {
		t.Errorf("a foreign process was put on other CPUs: %v", err)
	}
}

// firstCPU is one of the caller's, which are in callersCPUs as if entry had looked.
func firstCPU(t *testing.T) (one unix.CPUSet) {
	t.Helper()
	if err := unix.SchedGetaffinity(0, &callersCPUs); err != nil {
		t.Fatal(err)
	}
	if callersCPUs.Count() < 2 {
		t.Skip("needs two CPUs")
	}
	for i := 0; one.Count() == 0; i++ {
		if callersCPUs.IsSet(i) {
			one.Set(i)
		}
	}
	pinned = true
	t.Cleanup(func() { pinned = false })
	return one
}

// hold has all threads run on these CPUs, also one that a thread just makes, which
// has those that its maker had.
func hold(t *testing.T, cpus unix.CPUSet) {
	t.Helper()
	for still, rounds := 0, 0; still < 2; rounds++ {
		if rounds == 100 {
			t.Fatalf("threads cannot be held to %v", cpus)
		}
		still++
		for tid := range onCPUs(t, os.Getpid()) {
			var now unix.CPUSet
			if err := unix.SchedGetaffinity(tid, &now); err == nil && now != cpus {
				_ = unix.SchedSetaffinity(tid, &cpus) // it may have ended
				still = 0
			}
		}
	}
}

// farThread makes a thread whose number is not among the next ones.
func farThread(t *testing.T) (end func()) {
	t.Helper()
	for range 20 {
		if err := exec.Command("true").Run(); err != nil {
			t.Fatal(err)
		}
	}
	begun, over := make(chan int), make(chan struct{})
	for range 20 { // some get a thread that is there
		go func() {
			runtime.LockOSThread()
			begun <- unix.Gettid()
			<-over
		}()
		if <-begun >= os.Getpid()+16 {
			return func() { close(over) }
		}
	}
	t.Fatal("no thread with a higher number")
	return nil
}

// onCPUs is where each thread of a process may run, as /proc says it.
func onCPUs(t *testing.T, pid int) map[int]string {
	t.Helper()
	cpus := map[int]string{}
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/status"))
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of %d: %v, %v", pid, files, err)
	}
	for _, file := range files {
		tid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		text, _ := os.ReadFile(file) // it may have ended
		if _, rest, found := strings.Cut(string(text), "\nCpus_allowed_list:\t"); found {
			cpus[tid], _, _ = strings.Cut(rest, "\n")
		}
	}
	return cpus
}
