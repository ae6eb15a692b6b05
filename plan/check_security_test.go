package plan

import "golang.org/x/sys/unix"

const inRoot = unix.RESOLVE_IN_ROOT

// tree adds the root of a container, from which targets are opened.
func tree(b *Builder) Slot {
	hide(b)
	b.At("root.path", "open the root").For(ForRoot, "")
	root := b.Get("root", OpenTree{AtCWD(), "/rootfs", unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC})
	b.At("mounts[0]", "mount")
	return root
}

func opened(dir Ref, path string, resolve uint64) Openat2 {
	return Openat2{DirFD: dir, Path: path, Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve}
}

func mountBreaches() []breach {
	const dumpable, masks = "not-dumpable-before-mounts", "masks-after-mounts"
	clone := OpenTree{AtCWD(), "/srv", unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC}
	undumpable, dumped := Prctl{Option: unix.PR_SET_DUMPABLE}, Prctl{Option: unix.PR_SET_DUMPABLE, Arg2: 1}
	return []breach{
		{"never", dumpable, 0, do(clone), do(undumpable, clone)},
		{"later", dumpable, 0, do(clone, undumpable), do(undumpable, clone)},
		{"the other value", dumpable, 1, do(dumped, clone), do(undumpable, clone)},
		{"before setns", dumpable, 0, func(b *Builder) { b.Do(Setns{b.Input("ns", 5).Ref(), unix.CLONE_NEWNET}); exit(b) },
			func(b *Builder) { hide(b); b.Do(Setns{b.Input("ns", 5).Ref(), unix.CLONE_NEWNET}); exit(b) }},
		{"before execve", dumpable, 1, program, func(b *Builder) { hide(b); program(b) }},

		{"mount after a mask", masks, 4, mounts(ForMask, ForMount), mounts(ForMount, ForMask, ForMask, ForRoot)},
		{"mount without a purpose after a mask", masks, 5, mounts(ForMask, ForMask, 0), mounts(0, ForMask)},
	}
}

// mounts mounts something for each purpose.
func mounts(purposes ...Purpose) func(b *Builder) {
	return func(b *Builder) {
		root := tree(b)
		target := b.Get("target", opened(root.Ref(), "proc", inRoot))
		for _, p := range purposes {
			b.At("linux", "").For(p, "")
			b.Do(MoveMount{FromFD: root.Ref(), ToFD: target.Ref()})
		}
		exit(b)
	}
}

func hidingBreaches() []breach {
	const rule = "not-dumpable-after-credentials"
	undumpable, dumped := Prctl{Option: unix.PR_SET_DUMPABLE}, Prctl{Option: unix.PR_SET_DUMPABLE, Arg2: 1}
	keep := Prctl{Option: unix.PR_SET_KEEPCAPS}
	joins := func(flags int, after ...Operation) func(b *Builder) {
		return func(b *Builder) {
			hide(b)
			b.Do(Setns{b.Input("ns", 5).Ref(), flags})
			do(after...)(b)
		}
	}
	return []breach{
		{"user", rule, 0, do(Setresuid{7}), do(Setresuid{7}, undumpable)},
		{"group", rule, 0, do(Setresgid{7}), do(Setresgid{7}, undumpable)},
		{"only after the last", rule, 0, do(Setresgid{7}, Setresuid{7}, undumpable), do(Setresgid{7}, undumpable, Setresuid{7}, undumpable)},
		{"only after the first", rule, 2, do(Setresuid{7}, undumpable, Setresuid{8}), do(Setresuid{7}, undumpable, Setresuid{8}, undumpable)},
		{"only before", rule, 1, do(undumpable, Setresuid{7}), do(undumpable, Setresuid{7}, undumpable)},
		{"after another call", rule, 0, do(Setresuid{7}, keep, undumpable), do(Setresuid{7}, undumpable, keep)},
		{"another prctl", rule, 0, do(Setresuid{7}, keep), do(keep)},
		{"the other value", rule, 0, do(Setresuid{7}, dumped), do(Setresuid{7}, undumpable)},
		{"skipped", rule, 0, skipping(Setresuid{7}), skipping(keep)},
		{"user namespace", rule, 1, joins(unix.CLONE_NEWUSER), joins(unix.CLONE_NEWUSER, undumpable)},
		{"user and other namespaces", rule, 1, joins(unix.CLONE_NEWUSER | unix.CLONE_NEWNS), joins(unix.CLONE_NEWNS)},
		{"any namespace", rule, 1, joins(0), joins(0, undumpable)},
	}
}

// skipping skips the step that hides the process again.
func skipping(op Operation) func(b *Builder) {
	return func(b *Builder) {
		end := b.Label()
		b.Add(Step{Op: op, OnZero: end})
		hide(b)
		b.Place(end)
		exit(b)
	}
}

func pathBreaches() []breach {
	const rule = "targets-resolved-in-root"
	return append([]breach{
		{"target by path", rule, 2, moved(func(Slot, *Builder) MoveMount { return MoveMount{ToFD: AtCWD(), ToPath: "data"} }, 0),
			moved(func(Slot, *Builder) MoveMount { return MoveMount{ToFD: AtCWD(), ToPath: "/rootfs"} }, 0)},
		{"target not resolved in the root", rule, 3, intoOpened(0), intoOpened(inRoot)},
		{"path below the target", rule, 3, moved(nil, inRoot, "a/b"), moved(nil, inRoot, "a")},
		{"above the target", rule, 3, moved(nil, inRoot, ".."), moved(nil, inRoot, "...")},
		{"name in an unresolved target", rule, 3, moved(nil, 0, "a"), moved(nil, inRoot, "a")},
		{"name that is followed", rule, 3, ontoName(unix.MOVE_MOUNT_T_SYMLINKS), ontoName(unix.MOVE_MOUNT_F_EMPTY_PATH)},
		{"slot set in two ways", rule, 4, twoTargets(0), twoTargets(inRoot)},
		{"directory in no directory", rule, 1, do(Prctl{Option: unix.PR_SET_DUMPABLE}, Mkdirat{AtCWD(), "data", 0o755}), inDirectory(inRoot, Mkdirat{Path: "data"})},
		{"directory in an unresolved one", rule, 3, inDirectory(0, Mkdirat{Path: "data"}), inDirectory(inRoot, Mkdirat{Path: "data"})},
		{"directory by a path", rule, 3, inDirectory(inRoot, Mkdirat{Path: "a/b"}), inDirectory(inRoot, Mkdirat{Path: "a"})},
		{"directory above", rule, 3, inDirectory(inRoot, Mkdirat{Path: ".."}), inDirectory(inRoot, Mkdirat{Path: "..."})},
		{"node by a path", rule, 3, inDirectory(inRoot, Mknodat{Path: "a/null"}), inDirectory(inRoot, Mknodat{Path: "null"})},
		{"node in an unresolved one", rule, 3, inDirectory(0, Mknodat{Path: "null"}), inDirectory(inRoot, Mknodat{Path: "null"})},
		{"link by a path", rule, 3, inDirectory(inRoot, Symlinkat{Target: "/", LinkPath: "a/b"}), inDirectory(inRoot, Symlinkat{Target: "/", LinkPath: "b"})},
		{"link without a name", rule, 3, inDirectory(inRoot, Symlinkat{Target: "/"}), inDirectory(inRoot, Symlinkat{Target: "/", LinkPath: "b"})},
		{"directory in a given mount that is not attached", rule, 4, inGiven(), inGiven("")},
		{"directory where another mount was", rule, 5, inGiven("a"), inGiven("")},
		{"mode by a path", rule, 3, inDirectory(inRoot, Fchmodat{Path: "a/b"}), inDirectory(inRoot, Fchmodat{Path: "b"})},
	}, hostPathBreaches()...)
}

// moved attaches the root to a target opened with the resolve flags, or as
// the function has it.
func moved(how func(target Slot, b *Builder) MoveMount, resolve uint64, below ...string) func(b *Builder) {
	return func(b *Builder) {
		root := tree(b)
		if how != nil {
			op := how(root, b)
			op.FromFD = root.Ref()
			b.Do(op)
		} else {
			op := MoveMount{FromFD: root.Ref(), ToFD: b.Get("target", opened(root.Ref(), "data", resolve)).Ref()}
			for _, p := range below {
				op.ToPath = p
			}
			b.Do(op)
		}
		exit(b)
	}
}

// ontoName attaches the root to a name in a target, with the flags.
func ontoName(flags int) func(b *Builder) {
	return moved(func(root Slot, b *Builder) MoveMount {
		return MoveMount{ToFD: b.Get("target", opened(root.Ref(), "data", inRoot)).Ref(), ToPath: "a", Flags: flags}
	}, 0)
}

// inGiven makes a directory in a descriptor that the stage is started with, when what is at the paths from it was attached.
func inGiven(paths ...string) func(b *Builder) {
	return func(b *Builder) {
		given, root := b.Input("idmap", 5), tree(b)
		target := b.Get("target", opened(root.Ref(), "data", inRoot))
		for _, p := range paths {
			b.Do(MoveMount{FromFD: given.Ref(), FromPath: p, ToFD: target.Ref()})
		}
		b.Do(Mkdirat{DirFD: b.Get("below", opened(given.Ref(), ".", inRoot)).Ref(), Path: "data"})
		exit(b)
	}
}

func intoOpened(resolve uint64) func(b *Builder) { return moved(nil, resolve) }

// twoTargets sets the target's slot by two opens, the second as told.
func twoTargets(resolve uint64) func(b *Builder) {
	return func(b *Builder) {
		root := tree(b)
		target := b.Get("target", opened(root.Ref(), "data", inRoot))
		b.Add(Step{Op: opened(root.Ref(), "data", resolve), Result: target})
		b.Do(MoveMount{FromFD: root.Ref(), ToFD: target.Ref()})
		exit(b)
	}
}

// pivoted attaches the root to a target in it after pivot_root, or before.
func pivoted(after bool) func(b *Builder) {
	return func(b *Builder) {
		root := tree(b)
		attach := MoveMount{FromFD: root.Ref(), ToFD: b.Get("target", opened(root.Ref(), "data", inRoot)).Ref()}
		if after {
			do(PivotRoot{".", "."}, attach)(b)
		} else {
			do(attach, PivotRoot{".", "."})(b)
		}
	}
}

// inDirectory makes a file in a directory that was opened with the flags.
func inDirectory(resolve uint64, op Operation) func(b *Builder) {
	return func(b *Builder) {
		root := tree(b)
		dir := b.Get("dir", opened(root.Ref(), "etc", resolve)).Ref()
		switch o := op.(type) {
		case Mkdirat:
			o.DirFD = dir
			b.Do(o)
		case Mknodat:
			o.DirFD, o.Mode = dir, unix.S_IFREG
			b.Do(o)
		case Symlinkat:
			o.DirFD = dir
			b.Do(o)
		case Fchmodat:
			o.DirFD = dir
			b.Do(o)
		}
		exit(b)
	}
}

func hostPathBreaches() []breach {
	const path, directory = "no-host-path-after-pivot", "no-directory-open-at-chdir"
	open := Openat2{DirFD: AtCWD(), Path: "/etc/passwd", Flags: unix.O_CLOEXEC}
	around := func(before, after []Operation) func(b *Builder) {
		return func(b *Builder) {
			hide(b)
			do(append(append(before, PivotRoot{".", "."}), after...)...)(b)
		}
	}
	ops := func(list ...Operation) []Operation { return list }
	clone := OpenTree{AtCWD(), "/srv", unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC}
	closed := CloseRange{First: 3}
	return []breach{
		{"open", path, 2, around(nil, ops(open)), around(ops(open), nil)},
		{"open_tree", path, 2, around(nil, ops(clone)), around(ops(clone), nil)},
		{"move_mount", path, 4, pivoted(true), pivoted(false)},
		{"fsopen", path, 2, around(nil, ops(Fsopen{"tmpfs"})), around(ops(Fsopen{"tmpfs"}), nil)},
		{"chroot", path, 2, around(nil, ops(Chroot{"."})), around(nil, ops(Chdir{"/"}))},

		{"nothing closed", directory, 2, around(nil, ops(Chdir{"/home"})), around(nil, ops(closed, Chdir{"/home"}))},
		{"closed later", directory, 2, around(nil, ops(Chdir{"/home"}, closed)), around(nil, ops(Chdir{"/"}, closed))},
		{"closed before pivot_root", directory, 3, around(ops(closed), ops(Chdir{"/home"})), around(nil, ops(closed, Chdir{"/home"}))},
		{"closed at execve", directory, 3, around(nil, ops(CloseRange{First: 3, Flags: unix.CLOSE_RANGE_CLOEXEC}, Chdir{"/home"})),
			around(nil, ops(closed, Chdir{"/home"}))},
		{"after setns", directory, 2, joined(Chdir{"/home"}), joined(closed, Chdir{"/home"})},
		{"after chroot", directory, 1, do(Chroot{"."}, Chdir{"/home"}), do(Chroot{"."}, closed, Chdir{"/home"})},
		{"closed below a number", directory, 3, around(nil, ops(CloseRange{First: 3, Last: 4}, Chdir{"/home"})),
			around(nil, ops(closed, Chdir{"/home"}))},
		{"closed above", directory, 3, around(nil, ops(CloseRange{First: 5}, Chdir{"/home"})), around(nil, ops(CloseRange{First: 4}, Chdir{"/home"}))},
		{"opened again", directory, 4, reopened(true), reopened(false)},
	}
}

// joined enters a namespace of others first.
func joined(after ...Operation) func(b *Builder) {
	return func(b *Builder) {
		hide(b)
		b.Do(Setns{b.Input("init", 5).Ref(), unix.CLONE_NEWNS})
		do(after...)(b)
	}
}

// reopened opens a directory after or before the closing.
func reopened(after bool) func(b *Builder) {
	return func(b *Builder) {
		hide(b)
		root := b.Input("root", 5)
		b.Do(PivotRoot{".", "."})
		open := opened(root.Ref(), "etc", inRoot)
		if after {
			do(CloseRange{First: 6}, open, Chdir{"/home"})(b)
		} else {
			do(open, CloseRange{First: 6}, Chdir{"/home"})(b)
		}
	}
}

func processBreaches() []breach {
	const order, filter, cloexec = "groups-then-gid-then-uid", "no-new-privs-before-seccomp", "close-on-exec"
	undumpable := Prctl{Option: unix.PR_SET_DUMPABLE}
	load, drop := Seccomp{Program: make([]byte, 8)}, Capset{}
	nnp, keep := Prctl{Option: unix.PR_SET_NO_NEW_PRIVS, Arg2: 1}, Prctl{Option: unix.PR_SET_KEEPCAPS, Arg2: 1}
	listener := Seccomp{Program: make([]byte, 8), Flags: unix.SECCOMP_FILTER_FLAG_NEW_LISTENER}
	hidden := func(list ...Operation) func(b *Builder) {
		return do(append([]Operation{undumpable}, list...)...)
	}
	return []breach{
		{"groups last", order, 2, do(Setresgid{}, undumpable, Setgroups{}), do(Setgroups{}, Setresgid{}, undumpable)},
		{"gid last", order, 2, do(Setresuid{}, undumpable, Setresgid{}, undumpable), do(Setresgid{}, undumpable, Setresuid{}, undumpable)},
		{"groups after uid", order, 4, do(Setresgid{}, undumpable, Setresuid{}, undumpable, Setgroups{}),
			do(Setresgid{}, undumpable, Setresuid{}, undumpable, Setgroups{}, Setresgid{}, undumpable, Setresuid{}, undumpable)},

		{"capabilities gone", filter, 2, hidden(drop, load), hidden(load, drop)},
		{"listener alone", filter, 1, hidden(listener), hidden(Clone3{Flags: unix.CLONE_FILES}, listener)},
		{"listener alone after clone", filter, 3, hidden(Clone3{Flags: unix.CLONE_FILES}, Clone{}, listener),
			hidden(Clone3{Flags: unix.CLONE_FILES}, Clone{Flags: unix.CLONE_FILES}, listener)},
		{"CAP_SYS_ADMIN gone", filter, 2, hidden(drop, load), hidden(Capset{Effective: 1 << unix.CAP_SYS_ADMIN}, load)},
		{"no_new_privs late", filter, 2, hidden(drop, load, nnp), hidden(nnp, drop, load)},
		{"another prctl", filter, 3, hidden(keep, drop, load), hidden(nnp, drop, load)},

		{"open", cloexec, 0, do(Openat2{DirFD: AtCWD(), Path: "x"}), do(Openat2{DirFD: AtCWD(), Path: "x", Flags: unix.O_CLOEXEC})},
		{"open_tree", cloexec, 1, hidden(OpenTree{AtCWD(), "/", unix.OPEN_TREE_CLONE}),
			hidden(OpenTree{AtCWD(), "/", unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC})},
		{"dup3", cloexec, 0, do(Dup3{Int(0), 3, 0}), do(Dup3{Int(0), 3, unix.O_CLOEXEC})},
		{"dup3 after the preserved", cloexec, 0, preserving(2, Dup3{Int(0), 5, 0}), preserving(3, Dup3{Int(0), 5, 0})},
		{"socket", cloexec, 0, do(Socket{unix.AF_UNIX, unix.SOCK_DGRAM, 0}), do(Socket{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0})},
		{"terminal", cloexec, 0, do(Ioctl{Int(3), unix.TIOCGPTPEER, unix.O_RDWR}), do(Ioctl{Int(3), unix.TIOCGPTPEER, unix.O_RDWR | unix.O_CLOEXEC})},
		{"no close_range", cloexec, 1, func(b *Builder) { hide(b); b.Do(Execve{Path: "/bin/true"}) }, func(b *Builder) { hide(b); program(b) }},
		{"close_range too high", cloexec, 2, func(b *Builder) {
			hide(b)
			b.Do(CloseRange{First: 4, Flags: unix.CLOSE_RANGE_CLOEXEC})
			b.Do(Execve{Path: "/bin/true"})
		}, func(b *Builder) { hide(b); program(b) }},
	}
}

func preserving(n int, list ...Operation) func(b *Builder) {
	return func(b *Builder) {
		b.Preserve(n)
		do(list...)(b)
	}
}
