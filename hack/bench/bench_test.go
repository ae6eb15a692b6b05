package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// measured are results of two users and two programs: homerun takes half of crun's time.
func measured() results {
	r := results{Date: "2026-11-29", Host: "Linux", Programs: []string{"homerun", "crun"}, Versions: []string{"homerun 1", "crun 2"}}
	for _, user := range []string{"dev", "root"} {
		for _, s := range scenes(options{cgroups: []string{"scope", "none"}, configs: []string{"spec", "podman"}}) {
			for _, verb := range []string{"run", "exec", "state"} {
				r.Rows = append(r.Rows, row{User: user, scene: s, Verb: verb, Program: "homerun", Rounds: 3, Median: 2, Peak: 400},
					row{User: user, scene: s, Verb: verb, Program: "crun", Rounds: 3, Median: 4, Peak: 300})
			}
		}
	}
	r.Rows = append(r.Rows, row{User: "dev", scene: scene{"none", "spec"}, Verb: "run", Program: floorName, Median: 1})
	return r
}

func TestTables(t *testing.T) {
	r := measured()
	got := r.tables()
	for _, want := range []string{
		"2026-11-29, on Linux; homerun 1; crun 2; medians of 3 rounds.\n",
		"\n| dev | scope | podman | exec | 2.00 | 400 | 4.00 | 300 | 0.50 |  |\n",
		"\n| dev | none | spec | run | 2.00 | 400 | 4.00 | 300 | 0.50 | 2.00 |\n",
		"\n| root | none | spec | state | 2.00 | 400 | 4.00 | 300 | 0.50 |  |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "| state |"); n != 2 {
		t.Errorf("state, which is the same in all scenes, stands there %d times", n)
	}
}

// TestPercentiles goes through samples whose order is not that of their size.
func TestPercentiles(t *testing.T) {
	s := newSamples()
	for _, ms := range []int64{4, 100, 1, 3, 2} {
		s.add(scene{}, "run", "crun", sample{nanoseconds: ms * 1e6, kilobytes: 300 + ms})
	}
	x := s.find(scene{}, "run", "crun")
	if got := []float64{x.percentile(10), x.percentile(50), x.percentile(90)}; !slices.Equal(got, []float64{1, 3, 4}) || x.peak() != 400 {
		t.Errorf("got %v and a peak of %d", got, x.peak())
	}
	if s.find(scene{Cgroups: "scope"}, "run", "crun") != nil {
		t.Error("the samples of one scene are found in another")
	}
}

func TestSumAddsTimesAndKeepsThePeak(t *testing.T) {
	s := newSamples()
	s.add(scene{}, "create", "crun", sample{nanoseconds: 3, kilobytes: 10})
	s.add(scene{}, "start", "crun", sample{nanoseconds: 4, kilobytes: 20})
	s.sum(scene{}, "both", "crun", "create", "start")
	if got := s.find(scene{}, "both", "crun").runs[0]; got != (sample{nanoseconds: 7, kilobytes: 20}) {
		t.Errorf("sum is %+v", got)
	}
}

func TestParseReport(t *testing.T) {
	got, status, err := parseReport("1500000 3388 137 52\n")
	if err != nil || got != (sample{1500000, 3388, 52}) || status != 137 {
		t.Errorf("got %+v, %d, %v", got, status, err)
	}
	if _, _, err := parseReport(""); err == nil {
		t.Error("an empty report is no error")
	}
}

// TestWrite writes twice, which must not pile up, and reads the chart.
func TestWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "p.md")
	head, tail := "# Speed\n\n", "\nAfter.\n"
	if err := os.WriteFile(name, []byte(head+tail), 0o644); err != nil {
		t.Fatal(err)
	}
	r := measured()
	if err := write(name, r); err == nil {
		t.Error("a file without marks is written to")
	}
	if err := os.WriteFile(name, []byte(head+beginMark+"old\n"+endMark+tail), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := write(name, r); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(name)
	if want := head + beginMark + "\n" + r.tables() + "\n" + endMark + tail; err != nil || string(text) != want {
		t.Errorf("%v, got\n%s", err, text)
	}
	checkChart(t, strings.TrimSuffix(name, ".md")+".svg")
}

// checkChart reads a chart as XML: half the time is half of the bar, and each of the 4 scenes has 2 verbs.
func checkChart(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bars, titles := 0, 0
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		if ok && start.Name.Local == "title" {
			titles++
		}
		if ok && start.Name.Local == "rect" && slices.Contains(start.Attr, xml.Attr{Name: xml.Name{Local: "width"}, Value: "150"}) {
			bars++
		}
	}
	if bars != 8 || titles != 1 {
		t.Errorf("%d bars of half the width, and %d titles", bars, titles)
	}
}

// TestPodmanConfigHasNoPlace looks for what only the machine had where it was captured.
func TestPodmanConfigHasNoPlace(t *testing.T) {
	if found := regexp.MustCompile(`[0-9a-f]{12}|/home|/var/|/run/user`).FindString(string(podmanConfig)); found != "" {
		t.Errorf("podman.json has %q", found)
	}
	var c struct {
		Linux struct{ Seccomp, MaskedPaths any }
	}
	if err := json.Unmarshal(podmanConfig, &c); err != nil || c.Linux.Seccomp == nil || c.Linux.MaskedPaths == nil {
		t.Errorf("podman.json asks for no seccomp profile or no masked paths: %v", err)
	}
}

// TestMeasure runs the floor for real, a crowd of it, and a runtime that cannot do anything.
func TestMeasure(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc")
	}
	dir := t.TempDir()
	o := options{rounds: 3, verbs: []string{"run", "crowd", "lifecycle", "state"}, cgroups: []string{"none"}, configs: []string{"spec", "podman"},
		runtimes: []string{"broken=/bin/false"}, programs: dir + "/programs"}
	if err := compilePrograms(o.programs); err != nil {
		t.Fatal(err)
	}
	b, err := prepare(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.spawn(1, o.programs+"/floor", b.file("rootfs")); err != nil {
		t.Skip("no user namespaces: ", err)
	}
	s := newSamples()
	if err := b.measure(o, s); err != nil {
		t.Fatal(err)
	}
	plain := scene{"none", "spec"}
	if x := s.find(plain, "run", floorName); x == nil || len(x.runs) != 3 || x.peak() == 0 || x.percentile(50) <= 0 {
		t.Errorf("floor: %+v", x)
	}
	if x := s.find(plain, "50 at once", floorName); x == nil || x.percentile(50) <= s.find(plain, "run", floorName).percentile(50) {
		t.Errorf("a crowd of the floor: %+v", x)
	}
	if x := s.find(plain, "run", "broken"); x != nil {
		t.Errorf("a runtime that failed is in the table: %+v", x)
	}
	if _, err := b.spawn(3, "/bin/sh", "-c", `test "$0" != x-1`, "x"); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("one of a crowd failed: %v", err)
	}
	if got, err := b.spawn(3, "/bin/sh", "-c", "sleep 0.1", "x"); err != nil || got.nanoseconds < 1e8 || got.nanoseconds > 29e7 {
		t.Errorf("three that sleep 100 ms took %d ns together, %v", got.nanoseconds, err)
	}
}
