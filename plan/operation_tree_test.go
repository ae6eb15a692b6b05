package plan

import "golang.org/x/sys/unix"

func treeRows(s slots) []row {
	dir, file := s.dir.Ref(), s.file.Ref()
	const pick = unix.FSPICK_CLOEXEC | unix.FSPICK_EMPTY_PATH
	return []row{
		{Fspick{dir}, `fspick($dir, "", FSPICK_CLOEXEC|FSPICK_EMPTY_PATH)`, unix.SYS_FSPICK, []any{cell(dirFD), "", pick}},
		{Sendfile{file, dir, 4096}, `sendfile($file, $dir, NULL, 4096)`, unix.SYS_SENDFILE,
			[]any{cell(fileFD), cell(dirFD), nil, 4096}},
		{Fchmod{file, 0o4755}, `fchmod($file, 04755)`, unix.SYS_FCHMOD, []any{cell(fileFD), 0o4755}},
		{Fsetxattr{file, "user.a", "b\x00"}, `fsetxattr($file, "user.a", "b\0", 2, 0)`, unix.SYS_FSETXATTR,
			[]any{cell(fileFD), "user.a", []byte("b\x00"), 2, 0}},
		{SetMempolicy{Mode: unix.MPOL_BIND | unix.MPOL_F_STATIC_NODES, Nodes: []uint64{5}},
			`set_mempolicy(MPOL_BIND|MPOL_F_STATIC_NODES, [0x00000000000005], 65)`, unix.SYS_SET_MEMPOLICY,
			[]any{unix.MPOL_BIND | unix.MPOL_F_STATIC_NODES, uint64(5), 65}},
		{SetMempolicy{Mode: unix.MPOL_BIND, Nodes: []uint64{5, 1 << 60}},
			`set_mempolicy(MPOL_BIND, [0x00000000000005, 0x1000000000000000], 129)`, unix.SYS_SET_MEMPOLICY,
			[]any{unix.MPOL_BIND, words(5, 1<<60), 129}},
		{SetMempolicy{Mode: unix.MPOL_LOCAL}, `set_mempolicy(MPOL_LOCAL, NULL, 0)`, unix.SYS_SET_MEMPOLICY,
			[]any{unix.MPOL_LOCAL, nil, 0}},
	}
}
