package copytree

import (
	"context"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ProgramName is the argv[0] of a program that is to call Program.
const ProgramName = "homerun: tmpcopyup"

// Args are the arguments that tell the program the options.
func (o Options) Args() []string {
	args := []string{ProgramName}
	for _, w := range o.words() {
		if *w.set {
			args = append(args, w.word)
		}
	}
	for _, p := range o.Layers {
		args = append(args, layerWord+p)
	}
	return args
}

// layerWord begins the argument that names a layer.
const layerWord = "layer:"

type word struct {
	word string
	set  *bool
}

func (o *Options) words() []word {
	return []word{{"mode", &o.Mode}, {"owner", &o.Owner}, {"devices", &o.Devices}}
}

// Program copies the tree that is its standard input to the one that is its
// standard output, in a process that has joined the container's user namespace
// and nothing else of the container, and returns the exit status. What failed
// goes to standard error, a pipe; when nobody is left at its other end, which is
// the runtime, the process ends.
func Program(args []string) int {
	go whenForsaken(2, func() { os.Exit(1) })
	err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	if err == nil {
		var o Options
		for _, w := range o.words() {
			*w.set = slices.Contains(args[1:], w.word)
		}
		for _, a := range args[1:] {
			if p, ok := strings.CutPrefix(a, layerWord); ok {
				o.Layers = append(o.Layers, p)
			}
		}
		err = Copy(context.Background(), 0, 1, o)
	}
	if err != nil {
		_, _ = unix.Write(2, []byte(strings.TrimSpace(err.Error())+"\n"))
		return 1
	}
	return 0
}

// whenForsaken calls do when nobody can read any more what is written to a pipe.
func whenForsaken(fd int, do func()) {
	poll := []unix.PollFd{{Fd: int32(fd)}}
	for {
		switch _, err := unix.Poll(poll, -1); {
		case err == unix.EINTR:
		case err == nil && poll[0].Revents&unix.POLLERR != 0:
			do()
			return
		default:
			return
		}
	}
}
