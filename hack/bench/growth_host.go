package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// other is a container that is only there.
type other struct {
	runtime contender
	id      string
	init    int
	stopped bool
}

// running has each runtime have n containers that sleep.
func (b *bench) running(n int) error {
	c := b.config(plainScene(), "pause")
	// Network namespaces are dear, and no runtime looks at those of others.
	c.Linux.Namespaces = slices.DeleteFunc(c.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return !slices.Contains([]specs.LinuxNamespaceType{"pid", "user", "mount"}, n.Type)
	})
	c.Mounts = []specs.Mount{mount("proc", "/proc"), mount("tmpfs", "/dev")} // crun makes devices
	c.Hostname = ""                                                          // wants a namespace
	if err := b.writeBundle("other", c); err != nil {
		return err
	}
	for i := len(b.others) / len(b.runtimes); i < n; i++ {
		for _, r := range b.runtimes {
			if err := b.addOther(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) addOther(r contender) error {
	// A user may have 200 keys: keyrings(7). crun makes one of each container that has a new session keyring.
	id, pidFile := b.id(), b.file("other.pid")
	if _, err := b.spawn(1, b.command(r, "create", "--no-new-keyring", "-b", b.file("other"), "--pid-file", pidFile, id)...); err != nil {
		return err
	}
	o := other{runtime: r, id: id}
	b.others = append(b.others, &o)
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	if o.init, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return err
	}
	_, err = b.spawn(1, b.command(r, "start", id)...)
	return err
}

// stopped ends the others, and leaves each runtime n of them.
func (b *bench) stopped(n int) error {
	for _, o := range b.others {
		if o.stopped {
			continue
		}
		if err := unix.Kill(o.init, unix.SIGKILL); err != nil {
			return fmt.Errorf("end container %s: %w", o.id, err)
		}
		o.stopped = true
	}
	return b.keepOthers(n)
}

// keepOthers deletes all but n of each runtime.
func (b *bench) keepOthers(n int) error {
	for len(b.others) > n*len(b.runtimes) {
		last := len(b.others) - 1
		o := b.others[last]
		if _, err := b.spawn(1, b.deletion(o)...); err != nil {
			return err
		}
		b.others = b.others[:last]
	}
	return nil
}

// deletion forces only what has to be: crun forces no stopped container.
func (b *bench) deletion(o *other) []string {
	if o.stopped {
		return b.command(o.runtime, "delete", o.id)
	}
	return b.command(o.runtime, "delete", "--force", o.id)
}

func (b *bench) deleteOthers() {
	if err := b.keepOthers(0); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

// hostMounts makes mounts in a mount namespace of this thread, which the runtimes
// are started from.
func (b *bench) hostMounts(n int) error {
	dir := b.file("host-mounts")
	if _, err := os.Lstat(dir); err != nil {
		if err := privateTree(dir); err != nil {
			return err
		}
	}
	for ; b.mounted < n; b.mounted++ {
		p := filepath.Join(dir, strconv.Itoa(b.mounted))
		if err := makeDirectory(p); err != nil {
			return err
		}
		if err := unix.Mount(b.file("run"), p, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount on %s: %w", p, err)
		}
	}
	return nil
}

// privateTree mounts a tmpfs that no other process sees, so that one unmount ends
// all that is mounted in it.
func privateTree(dir string) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := makeDirectory(dir); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount on %s: %w", dir, err)
	}
	return nil
}

func (b *bench) removeHostMounts() {
	if err := unix.Unmount(b.file("host-mounts"), unix.MNT_DETACH); err != nil && !errors.Is(err, unix.ENOENT) {
		fmt.Fprintln(os.Stderr, "bench: unmount what was made:", err)
	}
}
