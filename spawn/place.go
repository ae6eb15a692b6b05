package spawn

import "golang.org/x/sys/unix"

// Theory of operation
//
// Two processes that could run side by side may share a CPU while another one idles. The
// kernel puts a process that is made, or wakes, on a CPU that idles. On a virtual machine an
// idle CPU may look taken: the kernel cannot tell a CPU that sleeps from one that the host has
// stopped to run something else (vcpu_is_preempted(), which available_idle_cpu() asks in
// kernel/sched/). It moves one of the two at a later tick, after some milliseconds. So a
// caller that knows that two processes have work at the same time says where each runs, for
// a moment only: a process that is confined for longer waits for its CPUs while others idle.
//
// All of it is advice. A filter on system calls may refuse it, a host may have more than 1024
// CPUs, or the caller only one: the kernel chooses then. The caller is the calling thread,
// which Go may move to another CPU at any time. All may be called at the same time for
// different processes.

// Place is a part of the CPUs that the caller may run on.
type Place int

const (
	// Aside are all but the one that the caller runs on.
	Aside Place = iota
	// Here is the one that the caller runs on.
	Here
)

// Confine has a process run in a place until Release. A process that waits is placed when it
// wakes. pid must be a child that is not reaped yet: else the number may be another process's.
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

// Release has a process run wherever the caller may. The kernel refuses that, and Confine, for a
// program that was executed with capabilities that the caller lacks, by a set-user-ID bit or of
// its file: sched_setaffinity(2), EPERM. Such a one stays confined until it ends. An init in a
// user namespace that the caller has made is none.
func Release(pid int) {
	var own unix.CPUSet
	if unix.SchedGetaffinity(0, &own) == nil {
		_ = unix.SchedSetaffinity(pid, &own)
	}
}

// Apart has two processes that are ready to run begin on two CPUs, where the caller may run
// on no more and is about to wait: the first on the other one, the second on the caller's. They
// may go elsewhere from then on, if that is not refused (Release): one whose execve has been waited
// for has its capabilities by then (Start). Of more CPUs the kernel chooses.
func Apart(first, second int) {
	var own unix.CPUSet
	if unix.SchedGetaffinity(0, &own) != nil || own.Count() != 2 {
		return
	}
	here, err := currentCPU()
	if err != nil {
		return
	}
	begin := func(pid int, p Place) {
		cpus := p.among(own, here)
		_, _ = unix.SchedSetaffinity(pid, &cpus), unix.SchedSetaffinity(pid, &own)
	}
	begin(first, Aside)
	begin(second, Here)
}

// among are the CPUs of the place, for a caller that may run on own and runs on here.
func (p Place) among(own unix.CPUSet, here int) unix.CPUSet {
	if p == Aside {
		own.Clear(here)
		return own
	}
	var one unix.CPUSet
	one.Set(here)
	return one
}
