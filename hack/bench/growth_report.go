package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
)

// growthTable has one row for a verb of a growth, with a runtime and its reference.
type growthTable struct {
	out  *tabwriter.Writer
	who  [2]string
	head bool
}

func newGrowthTable(out io.Writer, runtimes []contender) *growthTable {
	return &growthTable{out: tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug), who: [2]string{runtimes[0].name, runtimes[1].name}}
}

// add writes the rows of a growth. "Each" is the slope of a straight line through
// the medians; calls and faults hardly vary.
func (t *growthTable) add(g *growth, points []point) {
	if !t.head {
		t.head = true
		fmt.Fprintf(t.out, "\t more of\t verb\t ms at most\t %s\t ratio\t µs each\t %[1]s\t calls each\t %[1]s\t faults each\t %[1]s\t peak bytes each\t %[1]s\t\n", t.who[1])
		fmt.Fprint(t.out, "\t ---\t ---\t ---:\t ---:\t ---:\t ---:\t ---:\t ---:\t ---:\t ---:\t ---:\t ---:\t ---:\t\n")
	}
	most := 0
	for i := range points {
		if points[i].size > points[most].size {
			most = i
		}
	}
	for _, verb := range g.verbs {
		a, b := points[most].milliseconds(verb, t.who[0]), points[most].milliseconds(verb, t.who[1])
		fmt.Fprintf(t.out, "\t %d %s\t %s\t %s\t %s\t %s\t", points[most].size, g.name, verb, number(a), number(b), number(a/b))
		for _, value := range []measure{(*point).microseconds, (*point).systemCalls, (*point).faults, (*point).bytes} {
			fmt.Fprintf(t.out, " %s\t %s\t", number(slope(points, verb, t.who[0], value)), number(slope(points, verb, t.who[1], value)))
		}
		fmt.Fprintln(t.out)
	}
}

func (t *growthTable) flush() error { return t.out.Flush() }

// measure is what a verb took at one point.
type measure func(p *point, verb, who string) float64

func (p *point) milliseconds(verb, who string) float64 {
	if x := p.times.find(plainScene(), verb, who); x != nil {
		return x.percentile(50)
	}
	return math.NaN()
}

func (p *point) microseconds(verb, who string) float64 { return 1000 * p.milliseconds(verb, who) }

func (p *point) systemCalls(verb, who string) float64 {
	n, ok := p.calls[who][verb]
	if !ok {
		return math.NaN()
	}
	return float64(n)
}

func (p *point) faults(verb, who string) float64 {
	return p.median(verb, who, func(s sample) int64 { return s.faults })
}

func (p *point) bytes(verb, who string) float64 {
	return p.median(verb, who, func(s sample) int64 { return 1024 * s.kilobytes })
}

func (p *point) median(verb, who string, value func(sample) int64) float64 {
	x := p.times.find(plainScene(), verb, who)
	if x == nil {
		return math.NaN()
	}
	var list []int64
	for _, r := range x.runs {
		list = append(list, value(r))
	}
	slices.Sort(list)
	return float64(list[(len(list)-1)/2])
}

// slope is that of the straight line with the least squares.
func slope(points []point, verb, who string, value measure) float64 {
	var x, y, xx, xy float64
	for i := range points {
		a, b := float64(points[i].size), value(&points[i], verb, who)
		x, y, xx, xy = x+a, y+b, xx+a*a, xy+a*b
	}
	n := float64(len(points))
	return (n*xy - x*y) / (n*xx - x*x)
}

// number has two decimals, and is empty for what was not measured. What rounds to
// nothing is nothing: what is left of the machine's moods is no growth.
func number(x float64) string {
	if math.IsNaN(x) {
		return ""
	}
	if math.Abs(x) < 0.005 {
		return "0"
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}
