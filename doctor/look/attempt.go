package look

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/doctor"
)

// attempt has the kernel make the namespaces of a container, with this program in
// them, which tries more there.
func (l *Looker) attempt(ctx context.Context) (doctor.Attempt, map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	c := exec.CommandContext(ctx, l.Self[0], l.Self[1:]...)
	var out bytes.Buffer
	c.Env, c.Stdout, c.WaitDelay = []string{}, &out, time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL,
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}}
	runtime.LockOSThread() // whose end the signal is about
	defer runtime.UnlockOSThread()
	if err := c.Run(); err != nil {
		var errno unix.Errno
		if errors.As(err, &errno) {
			return doctor.Attempt{Errno: name(errno)}, map[string]string{}
		}
		return doctor.Attempt{Errno: err.Error()}, map[string]string{}
	}
	found := map[string]string{}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		return doctor.Attempt{Errno: err.Error()}, map[string]string{}
	}
	a := doctor.Attempt{Mount: found["mount"]}
	delete(found, "mount")
	return a, found
}

// Attempt is what Looker.Self does: it tries, in namespaces of its own, what root of a
// container may, and prints the errnos.
func Attempt() error {
	found := map[string]string{}
	const at = "/tmp"
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("tmpfs", at, "tmpfs", 0, "")
	}
	if found["mount"] = name(err); err == nil {
		found["overlay"] = name(overlay(at))
		found["mount_setattr"] = lacks(unix.MountSetattr(-1, "", 0, &unix.MountAttr{}))
		// Who is to map the ids is looked for first, and is no descriptor that is open.
		if err = unix.MountSetattr(-1, "", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: noDescriptor}); err == unix.EBADF {
			err = nil
		}
		found["idmapped-mounts"] = name(err)
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func overlay(at string) error {
	options := "userxattr"
	for option, dir := range map[string]string{"lowerdir": "below", "upperdir": "above", "workdir": "scratch"} {
		dir = filepath.Join(at, dir)
		if err := unix.Mkdir(dir, 0o755); err != nil {
			return err
		}
		options += "," + option + "=" + dir
	}
	return unix.Mount("overlay", at, "overlay", 0, options)
}

// features tries what a kernel may lack, each so that nothing comes of it.
func (l *Looker) features(h *doctor.Host) {
	f := h.Features
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if f["openat2"] = name(err); err == nil {
		unix.Close(fd)
	}
	fd, err = unix.PidfdOpen(os.Getpid(), 0)
	if f["pidfd_open"] = name(err); err == nil {
		unix.Close(fd)
	}
	f["clone-into-cgroup"] = intoCgroup()
	_, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1) // LANDLOCK_CREATE_RULESET_VERSION
	f["landlock"] = ""
	if errno != 0 {
		f["landlock"] = name(errno)
	}
	f["time-namespaces"] = l.missing("/proc/self/ns/time")
	f["seccomp-notify"] = ""
	if actions := l.read("/proc/sys/kernel/seccomp/actions_avail"); !strings.Contains(actions, "user_notif") {
		f["seccomp-notify"] = "ENOENT"
	}
	// Without a service manager its cgroup is not there either, and shows nothing.
	if c := h.Facts.Cgroup; c.Unified && h.Cgroups.Path != "" && h.Cgroups.Path != "/" && l.exists(c.MountPoint+h.Cgroups.Path+"/cgroup.procs") {
		f["cgroup-kill"] = l.missing(c.MountPoint + h.Cgroups.Path + "/cgroup.kill")
	}
}

func (l *Looker) missing(name string) string {
	if l.exists(name) {
		return ""
	}
	return "ENOENT"
}

// lacks is the errno of a system call that is not there, or not allowed; empty of one
// that refuses nonsense.
func lacks(err error) string {
	if err == unix.ENOSYS || err == unix.EPERM {
		return name(err)
	}
	return ""
}

// noDescriptor is none that is open.
const noDescriptor = 1 << 20

// intoCgroup asks for a process in a cgroup that is none: the kernel says EBADF to that
// if it knows the wish.
func intoCgroup() string {
	_, err := os.StartProcess("/proc/self/exe", []string{""}, &os.ProcAttr{Env: []string{}, Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: noDescriptor}})
	var errno unix.Errno
	if !errors.As(err, &errno) || errno == unix.EBADF {
		return ""
	}
	return name(errno)
}

// memfd makes a memfd that may be executed.
func memfd() string {
	fd, err := unix.MemfdCreate("homerun-doctor", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 all may
		fd, err = unix.MemfdCreate("homerun-doctor", unix.MFD_CLOEXEC)
	}
	if err == nil {
		unix.Close(fd)
	}
	return name(err)
}
