//go:build !riscv64

package early

// action is the kernel's struct sigaction (rt_sigaction(2)).
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}
