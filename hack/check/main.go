// Check holds the repository to rules that a compiler does not know: what may
// import what, how large things may grow, what a rootfs must not be touched
// with. Each rule says why it is there, in the message that breaks it.
//
//	go run ./hack/check [DIRECTORY]
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := run(os.Stdout, root); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

// run checks the tree below root and returns an error when it breaks a rule.
func run(out io.Writer, root string) error {
	t, err := load(root)
	if err != nil {
		return err
	}
	found := 0
	for _, r := range rules {
		list, err := r.check(t)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		for _, f := range list {
			fmt.Fprintf(out, "%s: %s (%s: %s)\n", f.where, f.what, r.name, r.why)
		}
		found += len(list)
	}
	if found > 0 {
		return fmt.Errorf("%d findings", found)
	}
	fmt.Fprintf(out, "check: %d rules hold in %d Go files\n", len(rules), len(t.gofiles))
	return nil
}
