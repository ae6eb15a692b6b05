package spawn

import "golang.org/x/sys/unix"

// Theory of operation
//
// Two processes that could run side by side may share a CPU while another one idles: the
// kernel puts a new or woken process on a CPU that it takes to be idle, and an idle one
// of a virtual machine may look to it as if the host had it (available_idle_cpu() in
// kernel/sched/, vcpu_is_preempted()). It mends that at its next tick, which is milliseconds
// later. So who knows that two have work at once says where they run, for a moment only:
// a process that is confined for longer waits for its CPUs while others are free.
//
// All of it is advice. A filter on system calls may forbid it, a host may have more than
// 1024 CPUs or the caller only one, and then the kernel chooses, as without it.

// Place is a part of the CPUs that the caller may run on.
type Place int

const (
	// Aside are all but the one that the caller runs on.
	Aside Place = iota
	// Here is that one.
	Here
)

// Confine has a process run in a place until Release; one that waits, once it goes on. pid
// is a child's that was not reaped, so that it is nobody else's.
func Confine(pid int, p Place) {
	var own unix.CPUSet
	if unix.SchedGetaffinity(0, &own) != nil {
		return
	}
	here, err := currentCPU()
	if err != nil {
		return
	}
	cpus := p.among(own, here)
	_ = unix.SchedSetaffinity(pid, &cpus) // no CPU at all is refused
}

// Release has a process run wherever the caller may. One that has other ids by then, as a
// setuid program has, stays confined: sched_setaffinity(2), EPERM.
func Release(pid int) {
	var own unix.CPUSet
	if unix.SchedGetaffinity(0, &own) == nil {
		_ = unix.SchedSetaffinity(pid, &own)
	}
}

// Move has a process that is ready to run begin in a place, and go wherever the caller may
// from then on.
func Move(pid int, p Place) {
	Confine(pid, p)
	Release(pid)
}

// among are the CPUs of the place, for a caller that may run on own and does on here.
func (p Place) among(own unix.CPUSet, here int) unix.CPUSet {
	if p == Aside {
		own.Clear(here)
		return own
	}
	var one unix.CPUSet
	one.Set(here)
	return one
}
