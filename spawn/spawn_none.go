//go:build !amd64

package spawn

import "syscall"

// spawn is not there: its assembly has run on no such machine but an emulated one, which
// has no processes that share memory.
func spawn(*[cloneWords]uint64, *call, *uint64, *uint64) (pid int) { return -int(syscall.ENOSYS) }
