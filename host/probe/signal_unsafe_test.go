package probe

import (
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestIgnoredByPosixSpawn: the signals that glibc's posix_spawn leaves ignored,
// which neither Go nor a program linked to glibc can change by other means.
func TestIgnoredByPosixSpawn(t *testing.T) {
	for _, n := range []int{32, 33} {
		var before, ignore [4]uint64
		ignore[0] = 1
		change := func(to, from *[4]uint64) {
			t.Helper()
			if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(from)), 8, 0, 0); errno != 0 {
				t.Fatal(errno)
			}
		}
		change(&ignore, &before)
		if list := IgnoredSignals(); !slices.Contains(list, n) {
			t.Errorf("ignored: %v, want %d among them", list, n)
		}
		change(&before, nil)
	}
}
