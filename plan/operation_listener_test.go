package plan

import (
	"time"

	"golang.org/x/sys/unix"
)

func listenerRows(s slots) []row {
	dir, file := s.dir.Ref(), s.file.Ref()
	type pollfd struct {
		FD              int32
		Events, Revents int16
	}
	return []row{
		{PidfdOpen{dir}, `pidfd_open($dir, 0)`, unix.SYS_PIDFD_OPEN, []any{cell(dirFD), 0}},
		{PidfdSendSignal{file, int(unix.SIGKILL)}, `pidfd_send_signal($file, SIGKILL, NULL, 0)`, unix.SYS_PIDFD_SEND_SIGNAL,
			[]any{cell(fileFD), int(unix.SIGKILL), nil, 0}},
		{Accept4{file}, `accept4($file, NULL, NULL, SOCK_CLOEXEC)`, unix.SYS_ACCEPT4, []any{cell(fileFD), nil, nil, unix.SOCK_CLOEXEC}},
		{DuplicateFD{file, 3}, `fcntl($file, F_DUPFD_CLOEXEC, 3)`, unix.SYS_FCNTL, []any{cell(fileFD), unix.F_DUPFD_CLOEXEC, 3}},
		{RecvSignal{file, s.dir}, `recvfrom($file, {value=$dir}, 8, MSG_DONTWAIT, NULL, NULL)`, unix.SYS_RECVFROM,
			[]any{cell(fileFD), [2]int32{0, dirFD}, 8, unix.MSG_DONTWAIT, nil, nil}},
		{Ppoll{FDs: []int{7, 8}}, `ppoll([{fd=7, events=POLLIN}, {fd=8, events=POLLIN}], 2, NULL, NULL, 0)`, unix.SYS_PPOLL,
			[]any{[2]pollfd{{7, unix.POLLIN, 0}, {8, unix.POLLIN, 0}}, 2, nil, nil, 0}},
		{Ppoll{FDs: []int{7}, Ends: []int{4}}, `ppoll([{fd=7, events=POLLIN}, {fd=4, events=0}], 2, NULL, NULL, 0)`, unix.SYS_PPOLL,
			[]any{[2]pollfd{{7, unix.POLLIN, 0}, {4, 0, 0}}, 2, nil, nil, 0}},
		{Ppoll{FDs: []int{7}, Timeout: 1500 * time.Millisecond}, `ppoll([{fd=7, events=POLLIN}], 1, {tv_sec=1, tv_nsec=500000000}, NULL, 0)`,
			unix.SYS_PPOLL, []any{[1]pollfd{{7, unix.POLLIN, 0}}, 1, unix.Timespec{Sec: 1, Nsec: 5e8}, nil, 0}},
		{Wait4{file, s.dir}, `wait4($file, [$dir], __WALL, NULL)`, unix.SYS_WAIT4, []any{cell(fileFD), int32(dirFD), unix.WALL, nil}},
		{Lseek{file, dir, unix.SEEK_SET}, `lseek($file, $dir, SEEK_SET)`, unix.SYS_LSEEK, []any{cell(fileFD), cell(dirFD), unix.SEEK_SET}},
		{Lseek{file, Int(1), unix.SEEK_CUR}, `lseek($file, 1, SEEK_CUR)`, unix.SYS_LSEEK, []any{cell(fileFD), 1, unix.SEEK_CUR}},
		{Ftruncate{file, dir}, `ftruncate($file, $dir)`, unix.SYS_FTRUNCATE, []any{cell(fileFD), cell(dirFD)}},
		{CloseRange{First: 0, Last: 6, Flags: unix.CLOSE_RANGE_UNSHARE}, `close_range(0, 6, CLOSE_RANGE_UNSHARE)`, unix.SYS_CLOSE_RANGE,
			[]any{0, 6, unix.CLOSE_RANGE_UNSHARE}},
	}
}
