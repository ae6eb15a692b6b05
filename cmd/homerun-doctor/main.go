// Homerun-doctor says what a host lacks for containers, and what is wrong with a
// config.json: it is `homerun doctor` and `homerun lint`, which become it. Package doctor
// has the checks of a host, package doctor/look what they go by, and package lint those
// of a config.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/homerun-oci/homerun/doctor"
	"github.com/homerun-oci/homerun/doctor/look"
	"github.com/homerun-oci/homerun/plain"
)

// version is set by the linker.
var version = "unknown"

// attemptVerb has this program be what it starts in namespaces of its own.
const attemptVerb = "attempt"

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// asked is what homerun passes on of its own.
type asked struct {
	homerun, root string
	json          bool
}

func run(args []string, out, errors io.Writer) int {
	if len(args) == 2 && args[1] == attemptVerb {
		if look.Attempt() != nil {
			return 1
		}
		return 0
	}
	l := linter{}
	flags := flag.NewFlagSet("homerun-doctor", flag.ContinueOnError)
	flags.SetOutput(errors)
	flags.BoolVar(&l.json, "json", false, "print JSON")
	flags.StringVar(&l.homerun, "homerun", "", "path of homerun's own program")
	flags.StringVar(&l.root, "root", "", "state root")
	flags.BoolVar(&l.strict, "strict", false, "warnings count, too")
	flags.StringVar(&l.config, "config", "", "name of config.json")
	flags.StringVar(&l.manager, "cgroup-manager", "", "who makes cgroups")
	if flags.Parse(args[1:]) != nil || l.homerun == "" {
		fmt.Fprintln(errors, "homerun-doctor is started by homerun: homerun doctor, homerun lint")
		return 2
	}
	status, err := l.do(context.Background(), out, flags.Args())
	if err != nil {
		fmt.Fprintln(errors, "homerun: "+append(flags.Args(), "doctor")[0]+": "+plain.Text(err.Error()))
		return 1
	}
	return status
}

// do lints the bundle that words name after the verb, or examines the host.
func (l *linter) do(ctx context.Context, out io.Writer, words []string) (status int, err error) {
	if l.root != "" {
		if l.root, err = filepath.Abs(l.root); err != nil {
			return 1, err
		}
	}
	if len(words) > 0 {
		return l.lint(ctx, out, strings.Join(words[1:], ""))
	}
	return l.examine(ctx, out)
}

func (a *asked) examine(ctx context.Context, out io.Writer) (status int, err error) {
	l := look.Looker{Homerun: a.homerun, StateRoot: a.root, Getenv: os.Getenv, Files: "/", Self: []string{"/proc/self/exe", attemptVerb}}
	h, err := l.Look(ctx)
	if err != nil {
		return 1, err
	}
	h.Test = l.Test(ctx, h.Root)
	rows := doctor.Examine(h)
	if !doctor.Complete(rows) {
		status = 1
	}
	if a.json {
		return status, printJSON(out, document{version, doctor.Complete(rows), rows, h.Test.Phases})
	}
	_, err = io.WriteString(out, text(rows))
	return status, err
}

// document is the JSON form. It is stable.
type document struct {
	Version string `json:"version"`
	// Complete: nothing is missing.
	Complete bool         `json:"complete"`
	Rows     []doctor.Row `json:"rows"`
	// Phases are those of the container that was run, in order.
	Phases []doctor.Phase `json:"phases,omitempty"`
}

func printJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// text is for people: a line a row, and below it what to do.
func text(rows []doctor.Row) string {
	var b strings.Builder
	counts := map[doctor.State]int{}
	for _, r := range rows {
		counts[r.State]++
		fmt.Fprintf(&b, "%-8s  %-18s  %s\n", r.State, r.Name, plain.Text(r.Found))
		below(&b, "", r.Consequence)
		for _, command := range r.Fix {
			for i, line := range strings.Split(command, "\n") {
				below(&b, []string{"$ ", "  "}[min(i, 1)], line)
			}
		}
		below(&b, "note: ", r.Advice)
	}
	fmt.Fprintf(&b, "%d ok, %d degraded, %d missing\n", counts[doctor.OK], counts[doctor.Degraded], counts[doctor.Missing])
	return b.String()
}

func below(b *strings.Builder, prefix, text string) {
	if text != "" {
		b.WriteString("          " + prefix + plain.Text(text) + "\n")
	}
}
