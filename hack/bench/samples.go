package main

import "slices"

// series is what one program took for one verb in one scene, round by round.
type series struct {
	scene
	what string
	who  string
	runs []sample
}

// samples keeps the series in the order in which they first appeared.
type samples struct{ list []*series }

func newSamples() *samples { return &samples{} }

// find returns nil where there is no such series.
func (s *samples) find(where scene, what, who string) *series {
	i := slices.IndexFunc(s.list, func(x *series) bool { return x.scene == where && x.what == what && x.who == who })
	if i < 0 {
		return nil
	}
	return s.list[i]
}

func (s *samples) add(where scene, what, who string, got sample) {
	x := s.find(where, what, who)
	if x == nil {
		x = &series{scene: where, what: what, who: who}
		s.list = append(s.list, x)
	}
	x.runs = append(x.runs, got)
}

// sum adds up the last runs of some verbs.
func (s *samples) sum(where scene, what, who string, parts ...string) {
	var total sample
	for _, part := range parts {
		runs := s.find(where, part, who).runs
		last := runs[len(runs)-1]
		total.nanoseconds += last.nanoseconds
		total.kilobytes = max(total.kilobytes, last.kilobytes)
	}
	s.add(where, what, who, total)
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
