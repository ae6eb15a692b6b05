package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/lint"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/rootfs"
	"golang.org/x/sys/unix"
)

// kernel is what the running kernel knows. Only what is sure is said.
type kernel struct {
	// files is put before the names of its files; it is empty, but in tests.
	files string
}

// read is a file's text; empty where it cannot be read.
func (k kernel) read(name string) string {
	text, err := os.ReadFile(filepath.Join(k.files, name))
	if err != nil {
		return ""
	}
	return string(text)
}

// lacks reports whether a file is missing. One that the caller may not look at is not.
func (k kernel) lacks(name string) bool {
	_, err := os.Stat(filepath.Join(k.files, name))
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// unmountable are mounts of the plan whose file system the kernel does not know, and options
// of a tmpfs that it does not have.
func (k kernel) unmountable(p *plan.Plan) []lint.Finding {
	var list []lint.Finding
	types, options := k.fileSystems(), append(lint.TmpfsOptions(), rootfs.OptionNames()...)
	for i := range p.Len() {
		step := p.Step(i)
		if !strings.HasPrefix(step.Pointer, "mounts[") {
			continue
		}
		switch o := step.Op.(type) {
		case plan.Fsopen:
			if !k.mayMount(o.Type, types) {
				list = append(list, lint.Finding{Kind: lint.KindImpossible, Place: step.Pointer + ".type",
					Message: fmt.Sprintf("the kernel has no file system %q", o.Type) + lint.DidYouMean(o.Type, types),
					Advice:  "/proc/filesystems lists those that it has; a directory of the host is mounted with the type bind"})
			}
		case plan.Fsconfig:
			if step.Subject == "tmpfs" && o.Key != "" && !lint.IsTmpfsOption(o.Key) {
				list = append(list, lint.Finding{Kind: lint.KindImpossible, Place: step.Pointer + ".options",
					Message: fmt.Sprintf("a tmpfs has no option %q", o.Key) + lint.DidYouMean(o.Key, options),
					Advice:  "tmpfs(5) lists those that it has, and mount(8) those of each mount"})
			}
		}
	}
	return list
}

// fileSystems are those that the kernel has now.
func (k kernel) fileSystems() []string {
	return slices.DeleteFunc(strings.Fields(k.read("/proc/filesystems")), func(word string) bool { return word == "nodev" })
}

// mayMount reports whether a file system is one of those known, or may be in a module, which
// the kernel loads at a mount: request_module("fs-...") in fs/filesystems.c.
func (k kernel) mayMount(name string, known []string) bool {
	name, _, _ = strings.Cut(name, ".") // fuse.sshfs
	if len(known) == 0 || slices.Contains(known, name) {
		return true
	}
	if k.lacks("/proc/modules") {
		return false // it was built without
	}
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return true
	}
	dir := "/lib/modules/" + unix.ByteSliceToString(u.Release[:])
	aliases, modules := k.read(dir+"/modules.alias"), strings.Fields(k.read(dir+"/modules.dep")+k.read(dir+"/modules.builtin"))
	if aliases == "" || len(modules) == 0 {
		return true
	}
	for _, pattern := range []string{"/etc", "/run", "/lib", "/usr/lib", "/usr/local/lib"} {
		configured, _ := filepath.Glob(filepath.Join(k.files, pattern, "modprobe.d/*.conf")) // the pattern is a good one
		for _, file := range configured {
			aliases += "\n" + k.read(strings.TrimPrefix(file, k.files))
		}
	}
	for _, file := range modules {
		base, _, _ := strings.Cut(path.Base(file), ".ko")
		aliases += " fs-" + base
	}
	// To modprobe(8) - and _ are the same.
	same := strings.NewReplacer("-", "_")
	return slices.Contains(strings.Fields(same.Replace(aliases)), same.Replace("fs-"+name))
}
