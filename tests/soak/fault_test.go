package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// fault is what happens to one client: its kind, a name for the journal, and how the verb
// is run.
type fault struct {
	kind, name string
	run        func(p *place, command []string) done
	// weak: the container inherits what weakens the client.
	weak bool
	// hungry: what the runtime of Go says when it gets no memory or thread is no fault of
	// homerun's.
	hungry bool
}

// errnos are what a system call may fail with on a bad day.
var errnos = []unix.Errno{unix.EIO, unix.ENOSPC, unix.EMFILE, unix.ENOMEM, unix.EINTR, unix.EAGAIN, unix.EROFS}

// none is the fault that does nothing.
func none() *fault {
	return &fault{run: func(p *place, command []string) done { return p.run(command, nil) }}
}

// Kinds of faults, as they are counted; those of errnos are these' names.
const (
	killedLater   = "SIGKILL after a while"
	killedAtCall  = "SIGKILL at a call"
	addressSpace  = "little address space"
	descriptors   = "few descriptors"
	sizeOfFiles   = "short files"
	littleMemory  = "little memory"
	fullDisk      = "full disk"
	killedHelper  = "killed a helper"
	killedInit    = "killed init"
	killedProcess = "killed a process"
	reexecuted    = "systemd reexecuted"
	busKilled     = "bus killed"
)

// kindsOfFaults are all that must have happened in a long run.
func kindsOfFaults(p *place) []string {
	list := []string{killedLater, killedAtCall, addressSpace, descriptors, sizeOfFiles, killedHelper, killedInit, killedProcess}
	if p.isSmall() {
		list = append(list, fullDisk)
	}
	if p.scopes {
		list = append(list, littleMemory, reexecuted, busKilled)
	}
	for _, e := range errnos {
		if runtime.GOARCH == "amd64" { // elsewhere no call fails
			list = append(list, unix.ErrnoName(e))
		}
	}
	return list
}

// manyOperations is after how many of them each kind of fault must have happened. What is
// rarest, one of the errnos, does in one of a hundred operations.
const manyOperations = 2000

// allHappened fails for a kind of fault that a long day did not have.
func (d *day) allHappened() {
	if d.done.total() < manyOperations {
		return
	}
	for _, kind := range kindsOfFaults(d.place) {
		if d.faults.get(kind) == 0 {
			d.broken(nil, "in %d operations there was never: %s", d.done.total(), kind)
		}
	}
}

// chooseFault has a third of all operations go wrong. It draws as often for each.
func chooseFault(random *rand.Rand, scopes bool) *fault {
	which, n, errno := random.IntN(100), random.IntN(1000), errnos[random.IntN(len(errnos))]
	at := 1 + n*n/4000
	switch {
	case which < 8:
		return killAfter(time.Duration(n*n) * time.Microsecond / 10)
	case which < 16:
		return &fault{kind: killedAtCall, name: fmt.Sprintf("SIGKILL at its call %d", at), run: func(p *place, command []string) done { return p.step(command, at, 0) }}
	case which < 25:
		return &fault{kind: unix.ErrnoName(errno), name: fmt.Sprintf("%s at its call %d", unix.ErrnoName(errno), at), hungry: true,
			run: func(p *place, command []string) done { return p.step(command, at, errno) }}
	case which < 27: // Go's own takes 689 MiB; with less homerun says so at once
		return limit(addressSpace, 684+n/16, "MiB", func(n int) []string { return []string{"prlimit", "--as=" + strconv.Itoa(n<<20)} })
	case which < 30:
		// Of the least that homerun wants all but these are taken when it begins.
		return limit(descriptors, 3+n/40, "files", func(n int) []string {
			take := "for ((f = 3; f < 64 - $0; f++)); do eval \"exec $f</dev/null\"; done; exec \"$@\""
			return []string{"prlimit", "--nofile=64", "bash", "-c", take, strconv.Itoa(n)}
		})
	case which < 33:
		return limit(sizeOfFiles, n, "bytes", func(n int) []string { return []string{"prlimit", "--fsize=" + strconv.Itoa(n)} })
	case which < 35 && scopes:
		return limit(littleMemory, 512+4*n, "KiB", func(n int) []string {
			return []string{"systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "MemoryMax=" + strconv.Itoa(n<<10), "-p", "MemorySwapMax=0", "--"}
		})
	}
	return nil
}

// killAfter kills the client a while after it was started.
func killAfter(wait time.Duration) *fault {
	return &fault{kind: killedLater, name: fmt.Sprintf("SIGKILL after %s", wait), run: func(p *place, command []string) done {
		var timer *time.Timer
		d := p.run(command, func(pid int) {
			process, _ := os.FindProcess(pid)
			timer = time.AfterFunc(wait, func() { _ = process.Kill() })
		})
		timer.Stop()
		d.struck = d.status < 0
		return d
	}}
}

// limit runs the client by another program that gives it a limit.
func limit(kind string, n int, unit string, by func(int) []string) *fault {
	return &fault{kind: kind, name: fmt.Sprintf("%s: %d %s", kind, n, unit), weak: true, hungry: true, run: func(p *place, command []string) done {
		return p.run(append(by(n), command...), nil)
	}}
}
