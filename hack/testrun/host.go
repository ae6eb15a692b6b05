package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// event is a line of `go test -json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
	// ImportPath names what was built, in build-output events.
	ImportPath string
}

// host runs all tests here. That some failed is in the results, not in the
// error.
func (r *runner) host(packages []string) error {
	cmd := exec.Command("go", append([]string{"test", "-json", "-timeout", "15m"}, packages...)...)
	cmd.Stderr = os.Stderr
	// Tests that cannot run here may say so: they run in the machine, or count as failed.
	cmd.Env = append(os.Environ(), "HOMERUN_TEST_MAY_SKIP=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := r.readEvents(out)
	waitErr := cmd.Wait()
	if readErr != nil {
		return readErr
	}
	if waitErr != nil && r.results.count(fail) == 0 {
		return fmt.Errorf("go test: %w", waitErr)
	}
	return nil
}

// readEvents consumes the stream of one `go test -json`.
func (r *runner) readEvents(stream io.Reader) error {
	c := collector{runner: r, output: map[test]*bytes.Buffer{}}
	scan := bufio.NewScanner(stream)
	scan.Buffer(nil, 1<<24)
	for scan.Scan() {
		var e event
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			fmt.Fprintln(r.out, scan.Text())
			continue
		}
		c.event(e)
	}
	return scan.Err()
}

// collector holds each test's output back until its outcome is known, so that
// only what failed is printed.
type collector struct {
	*runner
	output map[test]*bytes.Buffer
}

func (c *collector) event(e event) {
	t := test{pkg: e.Package, name: e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(c.out, e.Output)
	case "output":
		c.buffer(t).WriteString(e.Output)
	case "pass", "fail", "skip":
		c.end(t, e)
	}
}

func (c *collector) buffer(t test) *bytes.Buffer {
	if c.output[t] == nil {
		c.output[t] = &bytes.Buffer{}
	}
	return c.output[t]
}

// end takes note of a test's outcome and forgets its output.
func (c *collector) end(t test, e event) {
	text := c.buffer(t).String()
	delete(c.output, t)
	if t.name == "" {
		c.endPackage(t, e, text)
		return
	}
	switch e.Action {
	case "pass":
		c.results.add(t, pass, "")
	case "skip":
		c.results.add(t, skip, skipReason(text))
	case "fail":
		c.results.add(t, fail, "")
		fmt.Fprint(c.out, text)
	}
}

// endPackage prints go test's own closing line. A package that failed without
// a failed test (it did not build, it panicked) is itself the failed test.
func (c *collector) endPackage(t test, e event, text string) {
	if e.Action == "fail" {
		if !c.failedIn(t.pkg) {
			c.results.add(t, fail, "")
		}
		c.flush(t.pkg)
		fmt.Fprint(c.out, text)
		return
	}
	if e.Action == "pass" {
		fmt.Fprintf(c.out, "ok  \t%s\t%.2fs\t%s\n", t.pkg, e.Elapsed, c.tally(t.pkg))
	}
}

// flush prints the output of tests that never ended, which is where a panic is.
func (c *collector) flush(pkg string) {
	for t, b := range c.output {
		if t.pkg == pkg {
			fmt.Fprint(c.out, b.String())
			delete(c.output, t)
		}
	}
}

func (c *collector) failedIn(pkg string) bool {
	for t, got := range c.results {
		if t.pkg == pkg && got.outcome == fail {
			return true
		}
	}
	return false
}

// tally says how many of a package's tests passed and were skipped.
func (c *collector) tally(pkg string) string {
	var passed, skipped int
	for t, got := range c.results {
		switch {
		case t.pkg != pkg:
		case got.outcome == pass:
			passed++
		case got.outcome == skip:
			skipped++
		}
	}
	text := fmt.Sprintf("%d passed", passed)
	if skipped > 0 {
		text += fmt.Sprintf(", %d cannot run here", skipped)
	}
	return strings.TrimSpace(text)
}
