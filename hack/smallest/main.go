// Smallest finds the tightest limits in which homerun, crun and runc still run
// a program, as an ordinary user with systemd scopes, and prints a table.
//
//	go run ./hack/smallest
//
// It builds what it needs on this host, with go and gcc, and goes to the test
// machine (hack/machine) with it, where the program is called again as
// `smallest measure DIR`.
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	if len(os.Args) == 3 && os.Args[1] == "measure" {
		err = measure(os.Args[2])
	} else {
		err = onHost()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "smallest:", err)
		os.Exit(1)
	}
}
