// Package budget holds what homerun takes to the numbers of budget.txt.
//
// These are not times: they are the same on an idle and on a busy machine, so a test
// can hold them. A number goes down with the change that earns it, and goes up only
// with a reason in that change's message. Every test that calls Hold takes part, and
// with HOMERUN_TEST_BUDGET=write in its environment writes what it measured instead:
// `make budget` does that for all.
package budget

import (
	_ "embed" // the numbers
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// fileName is that of the numbers.
const fileName = "budget.txt"

//go:embed budget.txt
var numbers string

// Hold fails the test if it took more of a unit for something than the budget has for
// it, with the margin in 100 for what differs from run to run.
func Hold(t testing.TB, what, unit string, took int) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_BUDGET") == "write" {
		if err := write(what, unit, took); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := over(numbers, what, unit, took); err != nil {
		t.Error(err)
	}
}

// over says how a number is over its budget.
func over(text, what, unit string, took int) error {
	_, may, err := find(text, what, unit)
	if err != nil {
		return err
	}
	prefix, _, ok := strings.Cut(what, "-")
	if !ok {
		prefix = "all"
	}
	_, margin, err := find(text, prefix+"-margin", unit)
	if err != nil {
		margin = 0
	}
	if took*100 <= may*(100+margin) {
		return nil
	}
	return fmt.Errorf("%s: %d %s; tests/budget/%s has %d, and a margin of %d in 100", what, took, unit, fileName, may, margin)
}

// find looks a number up. A line begins with what it is about; units and numbers follow
// in turn. The lines' fields are returned too, so that they can be changed.
func find(text, what, unit string) (place [2]int, number int, err error) {
	at := 0
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		for i := 1; i+1 < len(fields) && fields[0] == what; i += 2 {
			if fields[i] != unit {
				continue
			}
			number, err = strconv.Atoi(fields[i+1])
			from := at + strings.Index(line, " "+unit+" ") + len(unit) + 2
			return [2]int{from, from + len(fields[i+1])}, number, err
		}
		at += len(line)
	}
	return place, 0, fmt.Errorf("%s has no %s of %s", fileName, unit, what)
}

// write puts a number into the file, which lies above the directory of the test.
func write(what, unit string, took int) error {
	dir := ".."
	for range 5 {
		name := filepath.Join(dir, "tests/budget", fileName)
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			dir = filepath.Join(dir, "..")
			continue
		}
		if err != nil {
			return err
		}
		place, _, err := find(string(text), what, unit)
		if err != nil {
			return err
		}
		return os.WriteFile(name, []byte(string(text[:place[0]])+strconv.Itoa(took)+string(text[place[1]:])), 0o644)
	}
	return fmt.Errorf("no tests/budget/%s above here", fileName)
}
