package main

import (
	"fmt"
	"os"
	"strings"
)

// The tables stand between these lines of the file that they are written to.
const (
	beginMark = "<!-- Written by hack/bench -write. -->\n"
	endMark   = "<!-- The end of what is written. -->\n"
)

// write puts the tables into a Markdown file, and the chart beside it.
func write(name string, r results) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !ok || !ended {
		return fmt.Errorf("%s: no lines %q and %q", name, strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	picture, err := r.chart()
	if err != nil {
		return err
	}
	if err := os.WriteFile(strings.TrimSuffix(name, ".md")+".svg", picture, 0o644); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(before+beginMark+"\n"+r.tables()+"\n"+endMark+after), 0o644)
}
