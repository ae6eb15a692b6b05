package main

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// longRun is when a program that still runs may run for days.
	longRun = time.Second
	// waitingMemory is how much memory Go may have, in bytes, before it collects
	// what a wait leaves behind.
	waitingMemory = 8 << 20
)

// memoryRange is a part of this process's memory, in bytes.
type memoryRange struct{ start, length uintptr }

// release gives the pages of the program back, which come again from its file when
// they are used: who only waits for days needs few of them. Go would also collect
// each other minute, and use them all again. It is not asked to collect now: what
// that takes is more than the start has left.
func release() {
	debug.SetMemoryLimit(waitingMemory)
	debug.SetGCPercent(-1)
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for _, m := range programPages(maps) {
		_, _, _ = unix.RawSyscall(unix.SYS_MADVISE, m.start, m.length, unix.MADV_DONTNEED) // it costs memory, no more
	}
}

// programPages finds in /proc/self/maps what is of a file and cannot be changed in memory.
func programPages(maps []byte) []memoryRange {
	var list []memoryRange
	for line := range bytes.Lines(maps) {
		fields := bytes.Fields(line)
		if len(fields) < 6 || fields[1][1] == 'w' || fields[5][0] != '/' {
			continue
		}
		from, to, _ := bytes.Cut(fields[0], []byte("-"))
		start, err := strconv.ParseUint(string(from), 16, 64)
		end, errEnd := strconv.ParseUint(string(to), 16, 64)
		if err == nil && errEnd == nil {
			list = append(list, memoryRange{uintptr(start), uintptr(end - start)})
		}
	}
	return list
}
