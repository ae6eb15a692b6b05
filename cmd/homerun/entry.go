package main

import "runtime"

// Theory of operation
//
// A verb does one thing after another, and what it waits for the kernel does.
// Go sets up a processor for each CPU that it finds and wakes threads for them;
// each costs page faults, and a look at its end. Only the environment says how
// many there shall be, and it is read before any Go code of ours runs. So the
// linker has the program begin here (-E main.entry): GOMAXPROCS=1 is put before
// the environment, and Go's own entry follows. Of two variables of one name Go
// takes the first, so one that the caller has set does nothing. No program that
// homerun starts inherits its environment.
//
// The kernel hands over argc, the arguments, a null, the environment and a null
// at the stack pointer. Arguments move down by two words, as arm64 faults on a
// stack pointer that is not a multiple of 16, and the gap gets the variable,
// twice.

// entry is where the kernel starts homerun. Without -E Go's own entry is, and
// all else is the same.
//
//lint:ignore U1000 the linker's command line names it
func entry()

// memProfileRate is set to 0 by entry: the first allocation would be sampled
// for a memory profile, with the table of all functions read for its stack.
var memProfileRate = &runtime.MemProfileRate
