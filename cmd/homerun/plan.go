package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/spf13/cobra"
)

// planFlags are those of plan.
type planFlags struct {
	facts, id, exec, pointer string
	json, showFacts, summary bool
	values, seccomp          bool
	// waits: for create and start.
	waits bool
	run   runFlags
}

func newPlanCommand(o *options) *cobra.Command {
	f := &planFlags{}
	c := &cobra.Command{
		Use:   "plan [-b BUNDLE] [POINTER] | plan --rootfs DIR [-- COMMAND...] | plan --exec ID -- COMMAND...",
		Short: "Print what run would do, one step a line",
		Long: `Print the plan for a bundle: each operation that the container's init makes, in
order, with the place in config.json that asks for it; and what homerun does
outside meanwhile. With POINTER, such as mounts[4] or linux.maskedPaths, only what
comes from there. Nothing is done.`,
		Example: `  homerun plan -b web
  homerun plan -b web mounts[1]
  homerun plan --rootfs / --summary -- make test
  homerun plan --exec web -- id`,
		RunE: func(c *cobra.Command, args []string) error {
			o.verb = "plan"
			if f.exec == "" {
				if err := f.run.fit(c.Flags()); err != nil {
					return err
				}
			}
			if f.run.docker.dryRun {
				return o.inFlags(&f.run, o.printConfig(&f.run, args), args)
			}
			return o.inFlags(&f.run, o.printPlan(c.Context(), os.Stdout, f, args), args)
		},
	}
	f.run.add(o, c, false)
	flags := c.Flags()
	flags.SetInterspersed(true)
	flags.StringVar(&f.id, "id", "ID", "the container's id")
	flags.StringVar(&f.facts, "facts", "", "compile for the host that this JSON file describes")
	flags.BoolVar(&f.json, "json", false, "print JSON: the facts and the steps")
	flags.BoolVar(&f.showFacts, "show-facts", false, "print the facts about this host instead")
	flags.BoolVar(&f.summary, "summary", false, "print in eight lines what the container may and has")
	flags.BoolVar(&f.seccomp, "seccomp", false, "print the seccomp filter instead, disassembled")
	flags.BoolVar(&f.values, "values", false, "print environment, groups and long arguments in full")
	flags.BoolVar(&f.waits, "create", false, "plan for create and start, between which init waits")
	flags.StringVar(&f.exec, "exec", "", "plan for exec in this container")
	flags.StringVar(&f.pointer, "pointer", "", "with --rootfs and --exec: only what comes from there")
	return c
}

func (o *options) printPlan(ctx context.Context, w io.Writer, f *planFlags, args []string) error {
	if f.seccomp {
		b, err := o.loadBundle(f.run.create.bundle, f.run.create.config)
		if err != nil {
			return err
		}
		return printFilter(ctx, w, b)
	}
	p, err := o.compilePlan(ctx, f, args)
	if err != nil {
		return err
	}
	switch {
	case f.showFacts:
		return printJSON(w, p.Facts)
	case f.summary:
		return printSummary(w, p)
	}
	if f.values {
		p.Result.Plan = p.Result.Plan.WithValues()
	}
	if !p.has(f.pointer) {
		return fmt.Errorf("no step of the plan comes from %q: want a place in config.json, as mounts[1] or linux.maskedPaths", f.pointer)
	}
	if f.json {
		return printJSON(w, document(p, f.pointer))
	}
	return printSteps(w, p.Result.Plan, f.pointer)
}

// compiled is a plan with what it was compiled from.
type compiled struct {
	*container.Plan
}

// has reports whether a step comes from the pointer or something below it.
func (p *compiled) has(pointer string) bool {
	for i := range p.Result.Plan.Len() {
		if selects(pointer, p.Result.Plan.Step(i).Pointer) {
			return true
		}
	}
	return slices.ContainsFunc(p.Result.Plan.Runtime(), func(s plan.RuntimeStep) bool { return selects(pointer, s.Pointer) })
}

// compilePlan compiles what the command line asks for, for this host or the one
// that a file describes.
func (o *options) compilePlan(ctx context.Context, f *planFlags, args []string) (*compiled, error) {
	r, err := o.runtime()
	if err != nil {
		return nil, err
	}
	if f.exec != "" && f.facts != "" {
		return nil, errors.New("--facts does not go with --exec, which is about a container of this host")
	}
	if f.exec != "" {
		p, err := o.planExec(ctx, r, f, args)
		return &compiled{p}, err
	}
	request, err := o.planRequest(f, args)
	if err != nil {
		return nil, err
	}
	if request.Facts, err = readFacts(f.facts); err != nil {
		return nil, err
	}
	plan := r.PlanRun
	if f.waits {
		plan = r.PlanCreate
	}
	p, err := plan(ctx, *request)
	return &compiled{p}, err
}

// planRequest describes the container, as create and run do.
func (o *options) planRequest(f *planFlags, args []string) (*container.Request, error) {
	if f.run.rootfs.path == "" {
		if len(args) > 1 {
			return nil, errors.New("want one place in config.json at most; a command goes with --rootfs or --exec")
		}
		f.pointer += strings.Join(args, "")
		args = []string{f.id}
	}
	run := &f.run
	request, err := o.runRequest(run, args)
	o.id = "" // of no container, for messages
	if err != nil {
		return nil, err
	}
	request.ID = f.id
	if err := run.attend(request); err != nil {
		return nil, err
	}
	if f.waits { // create has neither
		request.Network, request.Output, request.Subreaper, request.Detached, request.EndsWithCaller = nil, nil, false, false, false
	}
	return request, nil
}

// planExec plans a process in a container that exists: without a command what
// config.json has.
func (o *options) planExec(ctx context.Context, r *container.Runtime, f *planFlags, args []string) (*container.Plan, error) {
	c, err := r.Peek(f.exec)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if len(args) == 0 {
		process, err := c.Process()
		if err != nil {
			return nil, err
		}
		args = process.Args
	}
	e := &execFlags{interactive: true, tty: f.run.rootfs.tty, detach: f.run.detach, preserve: f.run.create.preserve, pidFile: f.run.create.pidFile,
		consoleSocket: f.run.create.consoleSocket, pidfdSocket: f.run.create.pidfdSocket}
	request, err := e.request(o, c, args)
	if err != nil {
		return nil, err
	}
	return c.PlanExec(ctx, *request)
}

// readFacts reads the facts from a file; nil without one.
func readFacts(file string) (*host.Facts, error) {
	if file == "" {
		return nil, nil
	}
	text, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the facts %s: %w", file, err)
	}
	var whole struct { // what --json prints
		Facts json.RawMessage `json:"facts"`
	}
	if err := json.Unmarshal(text, &whole); err == nil && whole.Facts != nil {
		text = whole.Facts
	}
	facts, err := host.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("read the facts %s: want what plan --json prints: %w", file, err)
	}
	return facts, nil
}
