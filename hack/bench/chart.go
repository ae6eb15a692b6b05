package main

import (
	"bytes"
	_ "embed" // the chart
	"fmt"
	"strings"
	"text/template"
)

// chartTemplate draws bars; every length in it is in pixels.
//
//go:embed chart.svg
var chartTemplate string

// group is a scene's bars in the chart.
type group struct {
	Title string
	Top   int
	Bars  []bar
}

// bar is a verb's.
type bar struct {
	Top   int
	Verb  string
	Width int
	Right int // where the label begins
	Label string
}

// The measures of the chart.
const (
	barHeight = 18
	full      = 300 // the width of a bar as long as the other program's time
)

// chart draws the first program's times as parts of the second's, for the first user.
func (r *results) chart() ([]byte, error) {
	if len(r.Programs) < 2 || len(r.Rows) == 0 {
		return nil, fmt.Errorf("a chart compares two programs, not %d", len(r.Programs))
	}
	var groups []group
	top := 48
	for _, s := range []scene{{"scope", "podman"}, {"scope", "spec"}, {"none", "podman"}, {"none", "spec"}} {
		g := group{Title: title(s), Top: top + 14}
		for _, verb := range whole {
			like := row{User: r.Rows[0].User, scene: s, Verb: verb}
			one, other := r.find(like, r.Programs[0]), r.find(like, r.Programs[1])
			if one == nil || other == nil {
				continue
			}
			g.Bars = append(g.Bars, bar{Top: top + 22 + barHeight*len(g.Bars), Verb: verb, Width: int(full * one.Median / other.Median),
				Right: 170 + max(full, int(full*one.Median/other.Median)),
				Label: fmt.Sprintf("%.2f: %.1f of %.1f ms", one.Median/other.Median, one.Median, other.Median)})
		}
		if len(g.Bars) > 0 {
			groups = append(groups, g)
			top += 30 + barHeight*len(g.Bars)
		}
	}
	t, err := template.New("chart").Parse(chartTemplate)
	if err != nil {
		return nil, err
	}
	version, _, _ := strings.Cut(r.Versions[1], " (")
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{"Groups": groups, "Height": top + 8, "Bottom": top,
		"One": r.Programs[0], "Other": r.Programs[1], "Version": version, "Date": r.Date})
	return out.Bytes(), err
}

func title(s scene) string {
	cgroups := map[string]string{"scope": "In a systemd scope", "none": "Without cgroups"}[s.Cgroups]
	return cgroups + ", " + map[string]string{"spec": "the default config.json", "podman": "podman’s config.json"}[s.Config]
}
