package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/seccomp"
	"github.com/spf13/cobra"
)

// planFlags are those of plan.
type planFlags struct {
	bundle, config, facts string
	json, showFacts, wait bool
	values                bool
	seccomp               bool
}

func newPlanCommand(o *options) *cobra.Command {
	f := &planFlags{}
	c := &cobra.Command{
		Use:   "plan [-b BUNDLE] [POINTER]",
		Short: "Print what run would do, one system call a line",
		Long: `Print the plan for a bundle: each operation that the container's init makes, in
order, with the place in config.json that asks for it. With POINTER, such as
mounts[4] or linux.maskedPaths, only the operations that come from there.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.verb = "plan"
			return o.printPlan(c.Context(), os.Stdout, f, strings.Join(args, ""))
		},
	}
	c.Flags().StringVarP(&f.bundle, "bundle", "b", ".", "directory of config.json")
	c.Flags().StringVarP(&f.config, "config", "f", "", "another name for config.json")
	c.Flags().StringVar(&f.facts, "facts", "", "compile for the host that this JSON file describes")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON: the facts and the steps")
	c.Flags().BoolVar(&f.showFacts, "show-facts", false, "print the facts about this host instead")
	c.Flags().BoolVar(&f.seccomp, "seccomp", false, "print the seccomp filter instead, disassembled")
	c.Flags().BoolVar(&f.values, "values", false, "print environment, groups and long arguments in full")
	c.Flags().BoolVar(&f.wait, "create", false, "plan for create, where init waits for start")
	return c
}

func (o *options) printPlan(ctx context.Context, w io.Writer, f *planFlags, pointer string) error {
	b, err := o.loadBundle(f.bundle, f.config)
	if err != nil {
		return err
	}
	if f.seccomp {
		return printFilter(w, b)
	}
	r, facts, err := o.compilePlan(ctx, b, f)
	if err != nil {
		return err
	}
	if f.showFacts {
		return printJSON(w, facts)
	}
	if f.values {
		r.Plan = r.Plan.WithValues()
	}
	if f.json {
		return printJSON(w, document(facts, r, pointer))
	}
	return printSteps(w, r, pointer)
}

// compilePlan compiles what run, or create and start, would do, for this host or the
// one that a file describes.
func (o *options) compilePlan(ctx context.Context, b *bundle.Bundle, f *planFlags) (*compile.Result, *host.Facts, error) {
	facts, err := readFacts(f.facts)
	if err != nil {
		return nil, nil, err
	}
	runtime, err := o.runtime()
	if err != nil {
		return nil, nil, err
	}
	request := container.Request{ID: "ID", Bundle: b, Facts: facts, Stdio: [3]int{0, 1, 2}, Listen: listenFDs(os.Getenv)}
	return runtime.Plan(ctx, request, f.wait)
}

// printFilter prints the seccomp filter: first how it is loaded.
func printFilter(w io.Writer, b *bundle.Bundle) error {
	f, err := container.Filter(b)
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

// readFacts reads the facts from a file; nil without one.
func readFacts(file string) (*host.Facts, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the facts %s: %w", file, unwrapPath(err))
	}
	facts := &host.Facts{}
	if err := json.Unmarshal(text, facts); err != nil {
		return nil, fmt.Errorf("read the facts %s: %w", file, err)
	}
	return facts, nil
}

// selects tells whether a step comes from the pointer or something below it.
func selects(pointer, where string) bool {
	rest, ok := strings.CutPrefix(where, pointer)
	return ok && (pointer == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// printSteps prints both sides of a plan, aligned, with the provenance column.
func printSteps(w io.Writer, r *compile.Result, pointer string) error {
	out := bufio.NewWriter(w)
	p := r.Plan
	width := columnWidth(p, pointer)
	for i := range p.Len() {
		if where := p.Step(i).Pointer; selects(pointer, where) {
			fmt.Fprintf(out, "%4d  %-*s  %s\n", i+1, width, p.Line(i), where)
		}
	}
	if len(p.Runtime()) > 0 && pointer == "" {
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
	Facts   *host.Facts    `json:"facts"`
	Notes   []string       `json:"notes,omitempty"`
	Steps   []stepDocument `json:"steps"`
	Runtime []string       `json:"runtime,omitempty"`
}

type stepDocument struct {
	Index   int    `json:"index"`
	Call    string `json:"call"`
	Line    string `json:"line"`
	Pointer string `json:"pointer"`
	What    string `json:"what,omitempty"`
}

func document(facts *host.Facts, r *compile.Result, pointer string) planDocument {
	d := planDocument{Facts: facts, Notes: r.Notes}
	for i := range r.Plan.Len() {
		if s := r.Plan.Step(i); selects(pointer, s.Pointer) {
			d.Steps = append(d.Steps, stepDocument{i + 1, r.Plan.Text(i), r.Plan.Line(i), s.Pointer, s.What})
		}
	}
	for i := range r.Plan.Runtime() {
		d.Runtime = append(d.Runtime, r.Plan.RuntimeLine(i))
	}
	return d
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
