package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// row is one program's times for one verb in one scene.
type row struct {
	User string
	scene
	Verb    string
	Program string
	Rounds  int
	Median  float64 // milliseconds, as P10 and P90
	P10     float64
	P90     float64
	Peak    int64 // kilobytes: the largest resident set of the program and what it waited for
}

// results are all rows, and where they were measured.
type results struct {
	Date     string
	Host     string
	Versions []string
	Programs []string // the floor is none of them
	Rows     []row
}

// results sums the samples up.
func (b *bench) results(s *samples) results {
	name := "root"
	if who, err := user.Current(); err == nil {
		name = who.Username
	}
	r := results{Date: time.Now().UTC().Format(time.DateOnly), Host: host()}
	for _, c := range b.runtimes {
		r.Programs = append(r.Programs, c.name)
		r.Versions = append(r.Versions, version(c.name, c.path))
	}
	if slices.ContainsFunc(s.list, func(x *series) bool { return x.Cgroups == "scope" }) {
		r.Versions = append(r.Versions, version("systemd", "systemctl"))
	}
	for _, x := range s.list {
		r.Rows = append(r.Rows, row{User: name, scene: x.scene, Verb: x.what, Program: x.who, Rounds: len(x.runs),
			Median: x.percentile(50), P10: x.percentile(10), P90: x.percentile(90), Peak: x.peak()})
	}
	return r
}

func host() string {
	var u unix.Utsname
	kernel := "?"
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	cpu := "?"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			cpu = strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("Linux %s, %d CPUs (%s)", kernel, runtime.NumCPU(), cpu)
}

// version is what a program says of itself, with the commit where it has one.
func version(name, path string) string {
	out, err := exec.Command(path, "--version").Output()
	first, rest, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil || first == "" {
		return name + " (no version)"
	}
	if second, _, _ := strings.Cut(rest, "\n"); strings.HasPrefix(second, "commit: ") {
		first += " (" + second[:min(len(second), len("commit: ")+12)] + ")"
	}
	if !strings.HasPrefix(first, name) {
		first = name + ": " + first
	}
	return first
}

// find returns nil where there is no such row.
func (r *results) find(like row, program string) *row {
	i := slices.IndexFunc(r.Rows, func(x row) bool {
		return x.User == like.User && x.scene == like.scene && x.Verb == like.Verb && x.Program == program
	})
	if i < 0 {
		return nil
	}
	return &r.Rows[i]
}

// ratio of a row's median to another program's in the same verb; "" where the other did not take part.
func (r *results) ratio(x row, program string) string {
	other := r.find(x, program)
	if other == nil {
		return ""
	}
	return fmt.Sprintf("%.2f", x.Median/other.Median)
}

// whole are the verbs that each scene is about; the others are parts of them, or the same in every scene.
var whole = []string{"run", "create+start+delete", "exec", "50 at once"}

// tables prints all that was measured, as Markdown.
func (r *results) tables() string {
	var out strings.Builder
	rounds := 0
	for _, x := range r.Rows {
		rounds = max(rounds, x.Rounds)
	}
	fmt.Fprintf(&out, "%s, on %s; %s; medians of %d rounds.\n\n", r.Date, r.Host, strings.Join(r.Versions, "; "), rounds)
	r.table(&out, func(x row) bool { return slices.Contains(whole, x.Verb) })
	parts := func(x row) bool { return !slices.Contains(whole, x.Verb) && x.plain() }
	if slices.ContainsFunc(r.Rows, parts) {
		out.WriteString("\nThe parts of create+start+delete, and the verbs that are the same in every case:\n\n")
		r.table(&out, parts)
	}
	return out.String()
}

// table has a line for each verb in each scene, and a column for each program.
func (r *results) table(out *strings.Builder, wanted func(row) bool) {
	var head, line strings.Builder
	for i, p := range r.Programs {
		fmt.Fprintf(&head, " %s ms | peak KB |", p)
		line.WriteString(" ---: | ---: |")
		if i > 0 {
			fmt.Fprintf(&head, " %s to %s |", r.Programs[0], p)
			line.WriteString(" ---: |")
		}
	}
	fmt.Fprintf(out, "| user | cgroups | config | verb |%s to floor |\n| --- | --- | --- | --- |%s ---: |\n", head.String(), line.String())
	for _, x := range r.Rows {
		if x.Program != r.Programs[0] || !wanted(x) {
			continue
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s |", x.User, x.Cgroups, x.Config, x.Verb)
		for i, p := range r.Programs {
			if other := r.find(x, p); other != nil {
				fmt.Fprintf(out, " %.2f | %d |", other.Median, other.Peak)
			} else {
				out.WriteString(" | |")
			}
			if i > 0 {
				fmt.Fprintf(out, " %s |", r.ratio(x, p))
			}
		}
		fmt.Fprintf(out, " %s |\n", r.ratio(x, floorName))
	}
}
