package main

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
)

// series is what one program took for one verb, round by round.
type series struct {
	what string
	who  string
	runs []sample
}

// samples keeps the series in the order in which they first appeared.
type samples struct{ list []*series }

func newSamples() *samples { return &samples{} }

// find returns nil where there is no such series.
func (s *samples) find(what, who string) *series {
	i := slices.IndexFunc(s.list, func(x *series) bool { return x.what == what && x.who == who })
	if i < 0 {
		return nil
	}
	return s.list[i]
}

func (s *samples) add(what, who string, got sample) {
	x := s.find(what, who)
	if x == nil {
		x = &series{what: what, who: who}
		s.list = append(s.list, x)
	}
	x.runs = append(x.runs, got)
}

// sum adds up the last runs of some verbs.
func (s *samples) sum(what, who string, parts ...string) {
	var total sample
	for _, part := range parts {
		runs := s.find(part, who).runs
		last := runs[len(runs)-1]
		total.nanoseconds += last.nanoseconds
		total.kilobytes = max(total.kilobytes, last.kilobytes)
	}
	s.add(what, who, total)
}

// percentile of the times, in milliseconds.
func (x *series) percentile(p int) float64 {
	times := make([]int64, 0, len(x.runs))
	for _, r := range x.runs {
		times = append(times, r.nanoseconds)
	}
	slices.Sort(times)
	return float64(times[(len(times)-1)*p/100]) / 1e6
}

func (x *series) peak() int64 {
	var most int64
	for _, r := range x.runs {
		most = max(most, r.kilobytes)
	}
	return most
}

// ratio of a series' median to another program's in the same verb; "" where
// the other did not take part.
func (s *samples) ratio(x *series, who string) string {
	other := s.find(x.what, who)
	if other == nil {
		return ""
	}
	return fmt.Sprintf("%.2f", x.percentile(50)/other.percentile(50))
}

// sorted keeps the verbs in the order of their first run, and within each the
// programs in the order asked for, after the floor.
func (s *samples) sorted(programs []string) []*series {
	verbs := map[string]int{}
	for i, x := range s.list {
		if _, ok := verbs[x.what]; !ok {
			verbs[x.what] = i
		}
	}
	place := func(who string) int {
		return slices.IndexFunc(programs, func(p string) bool { return filepath.Base(p) == who })
	}
	list := slices.Clone(s.list)
	slices.SortStableFunc(list, func(a, b *series) int {
		return cmp.Or(cmp.Compare(verbs[a.what], verbs[b.what]), cmp.Compare(place(a.who), place(b.who)))
	})
	return list
}

// report writes one table, grouped by verb.
func report(out io.Writer, o options, s *samples) error {
	where := "not pinned"
	if o.cpus != "" {
		where = "pinned to " + o.cpus
	}
	fmt.Fprintf(out, "%d rounds, interleaved, %d CPUs, %s\n\n", o.rounds, runtime.NumCPU(), where)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprint(w, "\t verb\t program\t median ms\t p10\t p90\t to crun\t to floor\t peak KB\t\n")
	fmt.Fprint(w, "\t ---\t ---\t ---:\t ---:\t ---:\t ---:\t ---:\t ---:\t\n")
	for _, x := range s.sorted(o.runtimes) {
		fmt.Fprintf(w, "\t %s\t %s\t %.2f\t %.2f\t %.2f\t %s\t %s\t %d\t\n", x.what, x.who, x.percentile(50),
			x.percentile(10), x.percentile(90), s.ratio(x, "crun"), s.ratio(x, floorName), x.peak())
	}
	return w.Flush()
}
