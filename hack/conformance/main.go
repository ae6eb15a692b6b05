// Conformance takes the results in .out/conformance over into tests/conformance/results, and makes
// docs/conformance.md and its line in README.md of all that are there, unless one did not end as is known,
// or with -suite a result of a stream in the Test Anything Protocol:
//
//	go run ./hack/conformance
//	go run ./hack/conformance -suite NAME -version V -runtime homerun|crun|runc -known KNOWN.md FILE
//
// With -known, a failure of homerun that the document does not explain is an error, and the result is not taken over.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/homerun-oci/homerun/tests/conformance"
)

const results = ".out/conformance"

func main() {
	suite := flag.String("suite", "", "the suite's name; without one the document is written")
	version := flag.String("version", "", "its version")
	runtime := flag.String("runtime", "homerun", "the runtime that it ran on")
	known := flag.String("known", "", "the document that explains homerun's failures")
	flag.Parse()
	err := errors.New("one FILE is wanted")
	switch {
	case *suite == "":
		err = conformance.Publish(results, ".")
	case flag.NArg() == 1:
		err = read(flag.Arg(0), conformance.Result{Suite: *suite, Version: *version, Runtime: *runtime}, *known)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// read makes a result of the stream in a file, which begins with the runtime's version.
func read(file string, r conformance.Result, explained string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := conformance.Complete(string(text)); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	r = conformance.New(r.Suite, r.Version, r.Runtime, string(text))
	points := conformance.ParseTAP(string(text))
	for i := range points {
		points[i].Text = conformance.Statement(points[i].Text)
	}
	r.Add(points)
	var unexplained error
	if known, err := conformance.ReadKnown(explained); err != nil {
		return err
	} else if r.Runtime == "homerun" {
		unexplained = known.Explain(&r)
	}
	return errors.Join(r.Save(results), unexplained)
}
