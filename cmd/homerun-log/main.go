// Homerun-log keeps what a detached container's program writes, and shows it.
//
// It is started by homerun. Package container/output says what it is given, and what the
// files are that it writes.
//
// # Theory of operation
//
// A program's output that nobody looks at must be bounded. The journal sees to that
// itself, but a file is not, unless somebody turns it over; and who stays beside a
// detached container anyway, its first process, is a plan without loops. So this is a
// process of its own, for both: the program writes into pipes, as under podman and docker.
// A stream socket of the journal in their place would need no process, but cannot be
// opened anew: `echo >/dev/stderr` in a script, and the logs of many an image that are links
// to /dev/stdout, would fail (ENXIO). And entries would not say whose they are.
//
// It ends when nobody has the pipes any more, which is when the container's processes
// have ended, and not before all is kept.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/container/output"
	"github.com/homerun-oci/homerun/fault"
)

func main() {
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	says := os.Stderr
	if len(os.Args) > 1 && os.Args[1] == output.Show {
		says = os.NewFile(output.ErrorFD, "error")
	}
	fmt.Fprint(says, words(err))
	os.Exit(1)
}

// words are an error as homerun reads it: see output.ErrorFD.
func words(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	if hint := fault.Hint(err); hint != "" {
		text += "\n" + hint
	}
	return text
}

// run is either side of it.
func run(args []string) error {
	switch {
	case len(args) == 4 && args[0] == output.Keep:
		return keep(args[1], args[2], args[3])
	case len(args) == 5 && args[0] == output.Show:
		return show(args[1:])
	}
	return fmt.Errorf("homerun-log is started by homerun run --detach and homerun logs")
}

// number reads a number that homerun wrote.
func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
