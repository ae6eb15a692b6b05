package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/tests/again"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// sleeper starts a process, perhaps in a user namespace of its own, that is asleep
// when sleeper returns.
func sleeper(t *testing.T, flags uintptr, args ...string) int {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if flags != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("needs user namespaces: %v", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 1000 {
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid)); string(text) == "sleep\n" {
			return cmd.Process.Pid
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("it does not come to sleep")
	return 0
}

// TestJoinable: init is joined in the user namespace that it was started in: the
// runtime's, or one that was made in that.
func TestJoinable(t *testing.T) {
	own, err := proc.UserNamespace()
	if err != nil {
		t.Fatal(err)
	}
	same, below := sleeper(t, 0, "sleep", "100"), sleeper(t, unix.CLONE_NEWUSER, "sleep", "100")
	further := sleeper(t, unix.CLONE_NEWUSER, "unshare", "-U", "sleep", "100")
	for name, test := range map[string]struct {
		pid   int
		users *store.Users
		want  bool
	}{
		"the runtime's":               {same, &store.Users{Inode: own}, true},
		"left the runtime's":          {below, &store.Users{Inode: own}, false},
		"made in it":                  {below, &store.Users{Inode: own, Above: true}, true},
		"left the one made in it":     {further, &store.Users{Inode: own, Above: true}, false},
		"an older homerun's":          {below, nil, true},
		"nothing was to be seen then": {below, &store.Users{}, true},
		"has ended":                   {1 << 30, &store.Users{Inode: own}, true},
	} {
		c := &Container{State: store.State{Pid: test.pid, Users: test.users}}
		if err := c.joinable(); (err == nil) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNumberOfAnother: what has init's number by the time that it is opened, because init
// has ended, is not joined.
func TestNumberOfAnother(t *testing.T) {
	ended := exec.Command("true")
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(ended.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := ended.Wait(); err != nil {
		t.Fatal(err)
	}
	c := &Container{State: store.State{Pid: os.Getpid()}, runtime: &Runtime{}, dir: &store.Dir{}}
	s := c.joining(nil, launch.Options{})
	defer s.close()
	if err := s.openOf(pidfd, unix.CLONE_NEWNS, true); !errors.Is(err, ErrNotRunning) {
		t.Errorf("%v", err)
	}
}

// TestDeletedMeanwhile: who execs without a lock while another verb deletes the container
// hears that it does not run, not which file is gone.
func TestDeletedMeanwhile(t *testing.T) {
	for lives, want := range map[bool]error{false: ErrNotRunning, true: os.ErrNotExist} {
		r, _, _ := withInit(t, "", lives)
		c, err := r.Peek("web")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.executableBundle(); !errors.Is(err, want) {
			t.Errorf("init lives: %v: %v", lives, err)
		}
	}
}

// TestRecorded: a container whose PID or user namespace cannot be told would be anybody's: it does not start. Without the
// kernel's file there is no other namespace.
func TestRecorded(t *testing.T) {
	for err, want := range map[error]bool{nil: true, unix.ENOENT: true, unix.EINVAL: false, unix.EACCES: false, unix.EMFILE: false} {
		number, got := recorded(func() (uint64, error) {
			if err != nil {
				return 0, err
			}
			return 7, nil
		}, "pid")
		if (got == nil) != want || (number == 7) != (err == nil) {
			t.Errorf("%v: %d, %v", err, number, got)
		}
		if got != nil && (!errors.Is(got, err) || !strings.HasPrefix(got.Error(), "look at /proc/self/ns/pid: ") || !strings.Contains(fault.Hint(got), "findmnt")) {
			t.Errorf("%v: %v, hint %q", err, got, fault.Hint(got))
		}
		if got != nil && (strings.Contains(got.Error(), "what is mounted on one") != (err == unix.EINVAL) || !strings.HasSuffix(got.Error(), ": "+err.Error())) {
			t.Error(got)
		}
	}
}

// TestCovered: with something mounted on the link to the PID or the user namespace nothing starts, and no container that is
// there is taken for one's own.
func TestCovered(t *testing.T) {
	const kind = "HOMERUN_TEST_COVERED"
	if os.Getenv(kind) == "" {
		for _, covered := range []string{"pid", "user"} {
			again.WithMounts(t, kind+"="+covered)
		}
		return
	}
	again.Cover(t, "/proc/self/ns/"+os.Getenv(kind))
	c := &Container{runtime: &Runtime{}, beside: &beside{}, State: store.State{Pid: os.Getpid(), PIDNamespace: 1}}
	if os.Getenv(kind) == "user" {
		if err := c.recordNamespaces(); !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
		return
	}
	if err := c.here(); !errors.Is(err, unix.EINVAL) || !strings.Contains(fault.Hint(err), "findmnt") {
		t.Error(err)
	}
	request := &Request{Bundle: &bundle.Bundle{Config: &specs.Spec{}}}
	if err := c.describe(request, &compile.Result{}); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
}

// TestUnreadStart: an init whose start time cannot be read, for lack of descriptors say, has not died for that.
func TestUnreadStart(t *testing.T) {
	for err, died := range map[error]bool{unix.ENOENT: true, unix.ESRCH: true, unix.EMFILE: false, proc.ErrHidden: false,
		fmt.Errorf("read /proc/self/timens_offsets: %w", unix.EACCES): false} {
		if got := unreadStart(err); errors.Is(got, launch.ErrDied) != died || !strings.HasSuffix(got.Error(), err.Error()) || !died && !errors.Is(got, err) {
			t.Errorf("%v: %v", err, got)
		}
	}
}
