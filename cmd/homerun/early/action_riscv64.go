package early

// action is the kernel's struct sigaction (rt_sigaction(2)), which has no restorer
// here: the kernel does not look as far.
type action struct {
	handler  uintptr
	flags    uint64
	mask     uint64
	restorer uintptr
}
