package plan

import (
	"strings"

	"golang.org/x/sys/unix"
)

// checkDumpable: while the stage sets a container up, no process of the
// container may look into it or take its descriptors (CVE-2016-9962). A new
// user namespace whose map the stage writes itself must come first, since the
// files of a process that is not dumpable belong to root: prctl(2).
func checkDumpable(p *Plan) (int, string) {
	prctl := p.first(func(op Operation) bool {
		o, ok := op.(Prctl)
		return ok && o.Option == unix.PR_SET_DUMPABLE && o.Arg2 == 0
	})
	for i := range p.steps {
		switch p.steps[i].Op.(type) {
		case Setns, OpenTree, MoveMount, Fsopen, Fspick, PivotRoot, Seccomp, Execve:
			if prctl < 0 || prctl > i {
				return i, "prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE) does not come before it"
			}
			return 0, ""
		}
	}
	return 0, ""
}

// checkStillHidden: a change of the ids makes the process as dumpable as
// fs.suid_dumpable says, and so does a user namespace whose owner has another
// id: commit_creds() in kernel/cred.c. That may be 1, which lets in who has the
// same ids and capabilities. Until the last capset nobody in the container has
// those, so the step after the change is early enough. A new user namespace is
// the caller's own: it changes nothing.
func checkStillHidden(p *Plan) (int, string) {
	for i := range p.steps[:max(len(p.steps)-1, 0)] {
		s := &p.steps[i]
		if !changesCredentials(s.Op) {
			continue
		}
		next, ok := p.steps[i+1].Op.(Prctl)
		if !ok || next.Option != unix.PR_SET_DUMPABLE || next.Arg2 != 0 || s.OnZero != 0 || s.OnNonzero != 0 {
			return i, "prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE) does not follow it"
		}
	}
	return 0, ""
}

// changesCredentials reports whether an operation may make the process dumpable.
func changesCredentials(op Operation) bool {
	switch o := op.(type) {
	case Setresgid, Setresuid:
		return true
	case Setns:
		return o.Type == 0 || o.Type&unix.CLONE_NEWUSER != 0
	}
	return false
}

// checkTargets: a mount target inside the rootfs is only ever a descriptor from
// openat2(RESOLVE_IN_ROOT), or a name directly in such a directory that is not followed, so
// no symbolic link can lead it out (CVE-2019-18837, CVE-2021-30465, CVE-2024-45310).
func checkTargets(p *Plan) (int, string) {
	resolved := p.resolvedSlots()
	for i := range p.steps {
		if o, ok := p.steps[i].Op.(MoveMount); ok && !p.goodTarget(o, i, resolved) {
			return i, "the target is neither from openat2(RESOLVE_IN_ROOT), nor a name in a directory from it, nor a path of the runtime namespace before pivot_root"
		}
		if dir, ok := createsBelow(p.steps[i].Op); ok && (dir.Slot == 0 || !resolved.has(dir.Slot)) {
			return i, "makes a file below a directory that is not from openat2(RESOLVE_IN_ROOT)"
		}
	}
	return 0, ""
}

// resolvedSlots are the slots that only openat2(RESOLVE_IN_ROOT) from a mount
// of the container, or the making of a mount, sets. What is attached is the container's, also
// a mount that the stage is started with, as one with an id map.
func (p *Plan) resolvedSlots() bits {
	good, bad := p.noBits(), p.noBits()
	bases, notBases := p.noBits(), p.noBits()
	for i := range p.steps {
		if o, ok := p.steps[i].Op.(MoveMount); ok && o.FromPath == "" {
			bases.set(o.FromFD.Slot)
		}
		s := p.steps[i].Result
		if s == 0 {
			continue
		}
		o, open := p.steps[i].Op.(Openat2)
		inside := open && o.Resolve&unix.RESOLVE_IN_ROOT != 0 && o.DirFD.Slot != 0 && bases.has(o.DirFD.Slot)
		root := isRoot(&p.steps[i])
		mark(s, inside || root, good, bad)
		mark(s, inside || root || isClone(p.steps[i].Op), bases, notBases)
	}
	for i := range good {
		good[i] &^= bad[i] | notBases[i]
	}
	return good
}

func (p *Plan) noBits() bits { return make([]uint64, len(p.names)/64+1) }

func mark(s Slot, yes bool, good, bad bits) {
	if yes {
		good.set(s)
	} else {
		bad.set(s)
	}
}

// isClone reports whether an operation makes a detached mount, below which
// RESOLVE_IN_ROOT keeps a path inside what the container sees.
func isClone(op Operation) bool {
	o, ok := op.(OpenTree)
	return ok && o.Flags&unix.OPEN_TREE_CLONE != 0
}

// isRoot reports whether a step makes the container's root mount, or another
// mount of its own: files made directly in it are inside by construction.
func isRoot(s *Step) bool {
	switch o := s.Op.(type) {
	case OpenTree:
		return s.Purpose == ForRoot
	case Fsmount:
		return o.FD.Slot != 0
	}
	return false
}

func (p *Plan) goodTarget(o MoveMount, i int, resolved bits) bool {
	if o.ToFD.Slot != 0 {
		return resolved.has(o.ToFD.Slot) && (o.ToPath == "" || isName(o.ToPath) && o.Flags&^unix.MOVE_MOUNT_F_EMPTY_PATH == 0)
	}
	pivot := p.first(is[PivotRoot])
	return strings.HasPrefix(o.ToPath, "/") && (pivot < 0 || i < pivot)
}

// createsBelow is the directory in which an operation makes a file. A name
// with a slash would be resolved by the kernel without RESOLVE_IN_ROOT.
func createsBelow(op Operation) (Ref, bool) {
	switch o := op.(type) {
	case Mkdirat:
		return below(o.DirFD, o.Path)
	case Mknodat:
		return below(o.DirFD, o.Path)
	case Symlinkat:
		return below(o.DirFD, o.LinkPath)
	case Fchmodat:
		return below(o.DirFD, o.Path)
	case Fchownat:
		if o.Path == "" && o.Flags&unix.AT_EMPTY_PATH != 0 {
			return o.DirFD, true
		}
		return below(o.DirFD, o.Path)
	case Openat2:
		if o.Flags&unix.O_CREAT == 0 {
			return Ref{}, false
		}
		if o.Flags&unix.O_EXCL == 0 || o.Resolve&unix.RESOLVE_IN_ROOT == 0 {
			return Ref{}, true
		}
		return o.DirFD, true
	}
	return Ref{}, false
}

func below(dir Ref, path string) (Ref, bool) {
	if !isName(path) {
		return Ref{}, true
	}
	return dir, true
}

// isName reports whether a path stays directly in its directory.
func isName(path string) bool {
	return path != "" && path != ".." && !strings.Contains(path, "/")
}

// checkHostPaths: after pivot_root the only paths resolved from the root are
// those of the container's program.
func checkHostPaths(p *Plan) (int, string) {
	pivot := p.first(is[PivotRoot])
	for i := pivot + 1; pivot >= 0 && i < len(p.steps); i++ {
		switch o := p.steps[i].Op.(type) {
		case Openat2:
			if o.DirFD.Slot == 0 {
				return i, "opens a path after pivot_root"
			}
		case OpenTree, MoveMount, Fsopen, Fspick, Chroot:
			return i, "mounts after pivot_root"
		}
	}
	return 0, ""
}

// checkClosedBeforeChdir: no directory of the runtime namespace is open when
// the working directory is entered, so that a cwd of /proc/self/fd/N leads
// nowhere (CVE-2024-21626).
func checkClosedBeforeChdir(p *Plan) (int, string) {
	pivot := p.first(func(op Operation) bool { return is[PivotRoot](op) || is[Setns](op) || is[Chroot](op) })
	if pivot < 0 {
		return 0, ""
	}
	closed := -1
	for i := pivot; i < len(p.steps); i++ {
		switch o := p.steps[i].Op.(type) {
		case CloseRange:
			if o.Flags == 0 && o.Last == 0 && o.First <= p.lastInput()+1 {
				closed = i
			}
		case Openat2, OpenTree, Fsmount:
			closed = -1
		case Chdir:
			if o.Path != "/" && closed < 0 {
				return i, "directories may still be open"
			}
		}
	}
	return 0, ""
}

// lastInput is the highest descriptor that the stage is started with.
func (p *Plan) lastInput() int {
	last := p.ReportFD
	for _, in := range p.inputs {
		last = max(last, in.fd)
	}
	return last
}

// checkCredentialOrder: the last change of groups comes before the last of the
// group id, and that before the last of the user id: afterwards the process may
// lack the capability, and an ignored failure leaves it privileged.
func checkCredentialOrder(p *Plan) (int, string) {
	groups, gid, uid := p.last(is[Setgroups]), p.last(is[Setresgid]), p.last(is[Setresuid])
	if groups > gid && gid >= 0 {
		return groups, "comes after setresgid"
	}
	if gid > uid && uid >= 0 {
		return gid, "comes after setresuid"
	}
	return 0, ""
}

// checkSeccomp: the kernel wants no_new_privs or CAP_SYS_ADMIN: seccomp(2). A
// listener needs somebody without the filter who can pass it on.
func checkSeccomp(p *Plan) (int, string) {
	capable, noNewPrivs, shared, cloned := true, false, false, false // all capabilities are there until a capset
	reaper, fork := p.first(is[Reap]), p.forked()
	for i := range p.steps {
		if fork < i && i <= reaper {
			continue // the other process goes on with what was before
		}
		switch o := p.steps[i].Op.(type) {
		case Clone3:
			shared = (shared || !cloned) && o.Flags&unix.CLONE_FILES != 0
			cloned = true
		case Clone: // in place of a Clone3
			shared = shared && o.Flags&unix.CLONE_FILES != 0
		case Capset:
			capable = capable && o.Effective&(1<<unix.CAP_SYS_ADMIN) != 0
		case Prctl:
			noNewPrivs = noNewPrivs || o.Option == unix.PR_SET_NO_NEW_PRIVS && o.Arg2 == 1
		case Seccomp:
			if !capable && !noNewPrivs {
				return i, "comes after capset without no_new_privs"
			}
			if o.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 && !shared {
				return i, "nobody without the filter shares the listener"
			}
		}
	}
	return 0, ""
}

// checkCloexec: every descriptor closes at execve, but 0, 1, 2 and those that
// config.json's caller preserves.
func checkCloexec(p *Plan) (int, string) {
	closed := false
	for i := range p.steps {
		switch o := p.steps[i].Op.(type) {
		case Openat2:
			if o.Flags&unix.O_CLOEXEC == 0 {
				return i, "without O_CLOEXEC"
			}
		case OpenTree:
			if o.Flags&unix.OPEN_TREE_CLOEXEC == 0 {
				return i, "without OPEN_TREE_CLOEXEC"
			}
		case Socket:
			if o.Type&unix.SOCK_CLOEXEC == 0 {
				return i, "without SOCK_CLOEXEC"
			}
		case Ioctl:
			if o.Request == unix.TIOCGPTPEER && o.Arg&unix.O_CLOEXEC == 0 {
				return i, "without O_CLOEXEC"
			}
		case Dup3:
			if o.Flags&unix.O_CLOEXEC == 0 && (o.New > 2+p.Preserved || o.New < 0) {
				return i, "without O_CLOEXEC"
			}
		case CloseRange:
			closed = closed || o.First <= 3+p.Preserved && o.Last == 0 && o.Flags == unix.CLOSE_RANGE_CLOEXEC
		case Execve:
			if !closed {
				return i, "close_range(CLOSE_RANGE_CLOEXEC) does not come before it"
			}
		}
	}
	return 0, ""
}

// checkMasks: what is masked stays masked: after a mask nothing is mounted that could
// lie on it, but other masks and the root.
func checkMasks(p *Plan) (int, string) {
	masked := false
	for i := range p.steps {
		s := &p.steps[i]
		masked = masked || s.Purpose == ForMask
		if masked && s.Purpose != ForMask && s.Purpose != ForRoot && is[MoveMount](s.Op) {
			return i, "mounts after a mask"
		}
	}
	return 0, ""
}
