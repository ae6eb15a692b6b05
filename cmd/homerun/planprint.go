package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/seccomp"
)

// printSummary prints what a person wants to know.
func printSummary(w io.Writer, p *compiled) error {
	out := bufio.NewWriter(w)
	for _, line := range compile.Summarize(p.Config, p.Facts, p.Result) {
		fmt.Fprintf(out, "%-11s %s\n", line.Subject, plain.Short(line.Text, maxLine))
	}
	return out.Flush()
}

// printFilter prints the seccomp filter: first how it is loaded.
func printFilter(ctx context.Context, w io.Writer, b *bundle.Bundle) error {
	f, err := container.Filter(ctx, b, container.Helpers{})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	if f == nil {
		fmt.Fprintln(out, "no seccomp filter: config.json has no linux.seccomp")
		return out.Flush()
	}
	fmt.Fprintln(out, plan.Seccomp{Program: f.Program, Flags: int(f.Flags)})
	if f.Listener {
		fmt.Fprintln(out, "listener to "+f.ListenerPath)
	}
	for _, line := range seccomp.Disassemble(f.Program) {
		fmt.Fprintln(out, line)
	}
	return out.Flush()
}

// selects reports whether a step comes from the pointer or something below it.
func selects(pointer, where string) bool {
	rest, ok := strings.CutPrefix(where, pointer)
	return ok && (pointer == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// printSteps prints both sides of a plan, aligned, with the provenance column.
func printSteps(w io.Writer, p *plan.Plan, pointer string) error {
	out := bufio.NewWriter(w)
	width := columnWidth(p, pointer)
	for i := range p.Len() {
		if where := p.Step(i).Pointer; selects(pointer, where) {
			fmt.Fprintf(out, "%4d  %-*s  %s\n", i+1, width, p.Line(i), where)
		}
	}
	if pointer == "" {
		fmt.Fprintf(out, "\nruntime\n")
	}
	for i, s := range p.Runtime() {
		if selects(pointer, s.Pointer) {
			fmt.Fprintf(out, "%4d  %-*s  %s\n", i+1, width, p.RuntimeLine(i), s.Pointer)
		}
	}
	return out.Flush()
}

// columnWidth is that of the longest line of a sensible length.
func columnWidth(p *plan.Plan, pointer string) int {
	width := 0
	for i := range p.Len() {
		if n := len(p.Line(i)); n <= 100 && selects(pointer, p.Step(i).Pointer) {
			width = max(width, n)
		}
	}
	return width
}

// planDocument is the JSON form of a plan. It is stable.
type planDocument struct {
	Facts   *host.Facts       `json:"facts"`
	Notes   []string          `json:"notes,omitempty"`
	Inputs  map[string]int    `json:"inputs"`
	Steps   []stepDocument    `json:"steps"`
	Runtime []runtimeDocument `json:"runtime"`
}

type stepDocument struct {
	Index   int    `json:"index"`
	Call    string `json:"call"`
	Line    string `json:"line"`
	Pointer string `json:"pointer"`
	What    string `json:"what,omitempty"`
}

// runtimeDocument is a step of the runtime's side.
type runtimeDocument struct {
	Index   int    `json:"index"`
	Line    string `json:"line"`
	Pointer string `json:"pointer"`
	// Undo is what undoes it; empty where it leaves nothing.
	Undo string `json:"undo,omitempty"`
}

func document(c *compiled, pointer string) planDocument {
	p := c.Result.Plan
	d := planDocument{Facts: c.Facts, Notes: c.Result.Notes, Inputs: map[string]int{}, Runtime: []runtimeDocument{}}
	for _, in := range p.Inputs() {
		d.Inputs[in.Name] = in.FD
	}
	for i := range p.Len() {
		if s := p.Step(i); selects(pointer, s.Pointer) {
			d.Steps = append(d.Steps, stepDocument{i + 1, p.Text(i), p.Line(i), s.Pointer, s.What})
		}
	}
	for i, s := range p.Runtime() {
		if selects(pointer, s.Pointer) {
			step := runtimeDocument{Index: i + 1, Line: p.RuntimeLine(i), Pointer: s.Pointer}
			if u := action.UndoOf(s.Action); u != nil {
				step.Undo = u.Line()
			}
			d.Runtime = append(d.Runtime, step)
		}
	}
	return d
}

// printJSON prints a value for programs, and for people's terminals.
func printJSON(w io.Writer, v any) error {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, plain.JSON(text.String()))
	return err
}
