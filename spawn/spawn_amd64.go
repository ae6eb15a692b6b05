package spawn

// spawn blocks all signals in the calling thread, makes the process, and gives the thread
// its mask back. The process does the calls, the last of which does not return. The result
// is its id, or an errno below 0.
//
//go:noescape
func spawn(clone *[cloneWords]uint64, calls *call, all, mask *uint64) (pid int)
