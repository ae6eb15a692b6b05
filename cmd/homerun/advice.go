package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/spec"
	"golang.org/x/sys/unix"
)

// advise adds what helps to an error of run --rootfs. place is where it was in
// config.json; e is the caller's own copy.
func (r *rootfsFlags) advise(e *fault.Error, place string, args []string) {
	switch {
	case within(place, "root"):
		r.adviseRoot(e)
	case place == "process.args" && e.Errno == unix.ENOENT:
		r.adviseProgram(e, args)
	case place == "process.cwd" && e.Errno == unix.EROFS:
		e.What, e.Why = "", "there is no such directory in the container, and none can be made in a read-only root: "+e.Errno.Error()+" (EROFS)"
		e.Hint = "name one that is there; --here is the current directory, at its own path"
	case within(place, "linux.sysctl") && e.Errno == unix.EACCES && r.config.Process.User.UID != 0:
		e.Hint = "root of the container alone may set it: --as-root"
	case within(place, "mounts") && e.Place == "":
		r.adviseKernelMount(e)
	case within(place, "mounts"):
		r.adviseMount(e)
	}
}

// adviseRoot: the hints of compile are for bundles.
func (r *rootfsFlags) adviseRoot(e *fault.Error) {
	switch _, err := os.Stat(r.path); {
	case looksLikeImage(r.path) && err != nil:
		e.Hint = "homerun has no images; a directory of one: mkdir DIR && podman export $(podman create " + r.path + ") | tar -x -C DIR"
	case e.Errno == unix.ENOTDIR && isArchive(r.path):
		e.Hint = "unpack it into a directory: mkdir DIR && tar -x -C DIR -f " + r.path
	case e.Errno == unix.ENOENT && filepath.IsAbs(r.path):
		e.Hint = "want a directory that holds a system, or / for the host's own"
	case e.Errno == unix.ENOENT:
		e.Hint = "a relative directory counts from the current one; --rootfs / is the host's own"
	}
}

// looksLikeImage reports whether that is what an image is called in a registry.
func looksLikeImage(name string) bool {
	return !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "~") && !isArchive(name)
}

func isArchive(name string) bool {
	return strings.Contains(name, ".tar") || strings.HasSuffix(name, ".tgz")
}

// adviseKernelMount: where not even /proc can be mounted, it is about the root.
func (r *rootfsFlags) adviseKernelMount(e *fault.Error) {
	var st unix.Statfs_t
	why := ""
	switch err := unix.Access(r.path, unix.X_OK); {
	case err == unix.EACCES:
		why = "you may not enter it: " + err.Error()
	case unix.Statfs(r.path, &st) == nil && slices.Contains([]int64{unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP2_SUPER_MAGIC}, int64(st.Type)):
		why = "it is a file system of the kernel's, which holds no system"
	}
	if why != "" {
		e.What, e.Place, e.Why, e.Hint = "", "--rootfs "+r.path, why, "want a directory that holds a system, or / for the host's own"
	}
}

func (r *rootfsFlags) adviseMount(e *fault.Error) {
	value, isVolume := strings.CutPrefix(e.Place, "--volume ")
	switch {
	case e.Errno == unix.EROFS && r.path == "/":
		e.Hint = "mount it on a directory that is there, or below /tmp or /run, which are the container's own"
	case e.Errno == unix.EROFS:
		e.Hint = "make the directory in the root, or mount it on one that is there"
	case isVolume && e.Errno == unix.ENOENT && !strings.HasPrefix(value, "/"):
		e.Hint = "a relative source counts from the current directory; homerun has no volumes with names"
	}
}

// builtIns are commands that only a shell has.
var builtIns = [...]string{"cd", "export", "source", ".", "alias", "ll", "ulimit", "umask", "set", "exec", "eval", "type", "history", "jobs"}

// adviseProgram says why a program may be missing.
func (r *rootfsFlags) adviseProgram(e *fault.Error, args []string) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	switch program, err := exec.LookPath(name); {
	case name == "":
		e.Hint = "the command is an empty word"
	case isDashed(name):
		e.Hint = dashHint(name)
	case strings.ContainsAny(name, " \t"):
		e.Hint = fmt.Sprintf("%q is one word, blanks included: leave the quotes out, or have a shell read it: sh -c %q", name, name)
	case slices.Contains(builtIns[:], name):
		e.Hint = name + " is a shell's own command and no program: sh -c '" + name + " ...'"
	case holdsNothing(r.path):
		e.Hint = r.path + " holds no system: it has neither bin nor usr/bin; --rootfs / is the host's own, and with --here it has this directory"
	case strings.HasPrefix(e.What, "exec "): // it is there
		e.Hint = "the program that its first line names, or the loader of a binary, has to be in the container too"
	case strings.Contains(name, "/"):
		e.What = strings.TrimSuffix(e.What, " in $PATH") // engines look for these words
		e.Hint = "a name with / is no matter of PATH: it is looked for in the container, a relative one from the working directory, " + r.config.Process.Cwd
	case err == nil && r.person.whyCovered(program) != "":
		e.Hint = r.person.whyCovered(program) + ": remove the link"
	case err == nil:
		e.Hint = "it is looked for in the container's PATH, " + r.searchPath() + "; yours has it as " + program + ": --env PATH passes yours on"
	default:
		e.Hint = "it is looked for in the container's PATH, " + r.searchPath()
	}
}

// searchPath is the program's PATH.
func (r *rootfsFlags) searchPath() string {
	list := spec.Path
	for _, e := range r.config.Process.Env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			list = value
		}
	}
	return list
}

// holdsNothing reports whether a directory has no place for programs.
func holdsNothing(root string) bool {
	for _, dir := range [...]string{"bin", "usr/bin", "sbin"} {
		if _, err := os.Lstat(filepath.Join(root, dir)); err == nil {
			return false
		}
	}
	return true
}

// withoutBundle says how to run a command without a bundle, to whoever gave run a
// command and none.
func (o *options) withoutBundle(err error, f *runFlags, args []string) error {
	flags := ""
	if errors.Is(err, errWithRootfs) && !isThere("config.json") {
		flags, err = " [FLAGS]", &fault.Error{Why: err.Error(), Cause: errOneID}
	}
	none := errors.Is(err, errOneID) || strings.HasPrefix(err.Error(), "config.json of bundle") && errors.Is(err, unix.ENOENT)
	if f.create.bundle != "." || f.create.config != "" || !none {
		return err
	}
	if at := slices.Index(args, "--rootfs"); at > 0 {
		return &fault.Error{Why: err.Error(), Cause: err, Hint: "flags come before the command: homerun run --rootfs DIR [FLAGS] -- " + quoted(args[:at])}
	}
	return &fault.Error{Why: err.Error(), Cause: err, Hint: o.rootHint(flags, args)}
}

// rootHint is the command line that may have been meant; flags are a word for those that were
// typed.
func (o *options) rootHint(flags string, args []string) string {
	root, hint := "/", "to run a command on your own files, which it cannot change: "
	switch at := slices.IndexFunc(args, isDashed); {
	case at >= 0:
		return dashHint(args[at])
	case o.verb == "unit": // a shell has nobody to talk to there
		return hint + "homerun unit " + o.id + " --rootfs / -- COMMAND"
	case len(args) == 0:
		args = []string{"sh"}
	case o.root != "" && isDirectory(filepath.Join(o.root, "usr")):
		hint, root = "--root is where state is kept; a directory that holds a system is --rootfs: ", o.root
	case isDirectory(args[0]) && len(args) > 1:
		hint, root, args = "to run in a directory that holds a system: ", args[0], args[1:]
	case (len(args) > 1 || flags != "") && !isProgram(args[0]):
		if hint, args = "homerun has no images; "+hint, args[1:]; len(args) == 0 {
			args = []string{"sh"}
		}
	}
	return hint + "homerun " + o.verb + " --rootfs " + quoted([]string{root}) + flags + " -- " + quoted(args)
}

// isDashed reports whether a word begins with a dash of print, as a flag does that was copied
// from a page on which two hyphens had become one.
func isDashed(word string) bool {
	return strings.HasPrefix(word, "\u2013") || strings.HasPrefix(word, "\u2014")
}

func dashHint(word string) string {
	return fmt.Sprintf("%s begins with a dash of print: type two hyphens, --%s", word, strings.TrimLeft(word, "-\u2013\u2014"))
}

func isDirectory(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}

func isProgram(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// quoted are words as a shell reads them.
func quoted(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, plain.ShellWord(w))
	}
	return strings.Join(out, " ")
}
