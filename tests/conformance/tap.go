package conformance

import (
	"fmt"
	"strconv"
	"strings"
)

// Complete returns an error for a stream that broke off: its plans, of which several
// files have one each, announce more tests than there are points, or there is none.
func Complete(text string) error {
	planned, points := 0, len(ParseTAP(text))
	for line := range strings.Lines(text) {
		if last, ok := strings.CutPrefix(strings.TrimSpace(line), "1.."); ok {
			if n, err := strconv.Atoi(last); err == nil {
				planned += n
			}
		}
	}
	if planned != points || planned == 0 {
		return fmt.Errorf("%d tests were planned, and %d reported", planned, points)
	}
	return nil
}

// A Point is one test of a stream in the Test Anything Protocol.
type Point struct {
	Name   string
	Failed bool
	// Skipped is why it did not run.
	Skipped string
	// Text is what stands after a failure, up to the next point.
	Text string
}

// ParseTAP reads such a stream: https://testanything.org. What bats adds to names in
// its long form is left out.
func ParseTAP(text string) (points []Point) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if p, ok := point(line); ok {
			points = append(points, p)
		} else if n := len(points) - 1; n >= 0 && points[n].Failed {
			points[n].Text += strings.TrimPrefix(line, "# ") + "\n"
		}
	}
	return points
}

// point reads "ok 12 - name # skip why"; the dash is optional.
func point(line string) (p Point, ok bool) {
	rest, failed := strings.CutPrefix(line, "not ")
	p.Failed = failed
	rest, ok = strings.CutPrefix(rest, "ok ")
	if !ok {
		return p, false
	}
	number, name, _ := strings.Cut(rest, " ")
	if number == "" || strings.Trim(number, "0123456789") != "" {
		return p, false
	}
	name, skipped, is := cutSkip(strings.TrimPrefix(name, "- "))
	if is && !failed {
		p.Skipped = skipped
	}
	p.Name = cutTime(strings.TrimSpace(name))
	return p, true
}

// cutSkip cuts the directive: "# SKIP why", or in bats' way "# skip (why)".
func cutSkip(name string) (before, why string, is bool) {
	for _, mark := range []string{"# skip", "# SKIP"} {
		if before, why, is = strings.Cut(name, mark); is {
			why = strings.Trim(why, ": ()")
			if why == "" {
				why = "no reason given"
			}
			return before, why, true
		}
	}
	return name, "", false
}

// cutTime cuts " in 12ms" off.
func cutTime(name string) string {
	i := strings.LastIndex(name, " in ")
	if i < 0 {
		return name
	}
	number, is := strings.CutSuffix(name[i+len(" in "):], "ms")
	if !is || strings.Trim(number, "0123456789") != "" {
		return name
	}
	return name[:i]
}

// Statement makes one line of what bats says after a failure: the statement of the test that failed, and after " -- " the last error
// of homerun's before it. A text without a statement stays as it is.
func Statement(text string) string {
	statement, said := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "--- teardown") {
			break
		}
		if quoted, is := strings.CutPrefix(line, "  `"); is && statement == "" {
			if end := strings.LastIndex(quoted, "' failed"); end >= 0 {
				statement = strings.TrimSpace(quoted[:end])
			}
		}
		if strings.HasPrefix(line, "homerun: ") && !strings.HasPrefix(line, "homerun: debug:") {
			said = saying + line
		}
	}
	if statement == "" {
		return strings.TrimSpace(text)
	}
	return statement + said
}
