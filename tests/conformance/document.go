package conformance

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// runtimes are the columns, homerun's first.
func runtimes() []string { return []string{"homerun", "crun", "runc"} }

// title is the document's beginning.
const title = `# What other people's tests say

<!-- Written by make conformance from the results of its runs. Changes by hand are lost. -->

No test of these was written for homerun. Each ran in the test machine ([test-machine.md](test-machine.md)) on homerun, and in
the same way on crun and runc. A failure that is not explained here fails ` + "`make conformance`" + `. Of suites that are one
runtime's own many tests are about its words and its files: so a failure is not always a fault, and says why.

The machine has one processor, and a kernel without cpuset, PSI, AppArmor and SELinux; the tests run as root, and without systemd's
cgroup manager. What wants something else skips. A stock kernel is for homerun's own tests: tests/stock.

To run all of it: ` + "`make conformance`" + `; some of it: ` + "`make conformance CONFORMANCE=oci`" + `, ` + "`suites`" + ` or ` + "`engines`" + `. One runtime of a suite: ` + "`make oci RUNTIMES=runc`" + `;
a part of the engines: ` + "`make engines ENGINESFLAGS='-part cri'`" + `; then ` + "`go run ./hack/conformance`" + ` writes this page.

`

// start is what a README's line with the totals begins with.
const start = "Other people's tests: "

// kept is where the results of all runs stay, below the repository.
const kept = "tests/conformance/results"

// reasons are the documents that explain homerun's failures, by suites, below the
// repository.
func reasons() map[string]string {
	return map[string]string{"OCI runtime-tools": "tests/oci/KNOWN.md", "runc's integration tests": "tests/runc/KNOWN.md"}
}

// Publish takes the results in dir over into those of the repository below root, each
// in the place of an earlier one, and writes docs/conformance.md of them all, and the
// line in README.md with the totals.
func Publish(dir, root string) error {
	all, err := takeOver(dir, filepath.Join(root, kept))
	if err != nil {
		return err
	}
	for _, r := range all {
		if err := r.explainAnew(root); err != nil {
			return err
		}
		if err := r.Save(filepath.Join(root, kept)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "docs/conformance.md"), []byte(Document(all)), 0o644); err != nil {
		return err
	}
	readme := filepath.Join(root, "README.md")
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, start) })
	if at < 0 {
		return fmt.Errorf("%s: no line begins with %q", readme, start)
	}
	lines[at] = start + Totals(all) + "."
	return os.WriteFile(readme, []byte(strings.Join(lines, "\n")), 0o644)
}

// takeOver saves what is in dir into another directory, unless a result there is of a
// later day, and returns all that is then there.
func takeOver(dir, into string) ([]Result, error) {
	fresh, err := Load(dir)
	if err != nil {
		return nil, err
	}
	before, err := Load(into)
	if err != nil {
		return nil, err
	}
	for _, r := range fresh {
		if r.Unexplained {
			return nil, fmt.Errorf("%s: %s on %s did not end as is known: run it again, or remove its result", dir, r.Suite, r.Runtime)
		}
	}
	for _, r := range fresh {
		later := func(b Result) bool { return b.Suite == r.Suite && b.Runtime == r.Runtime && b.Date > r.Date }
		if slices.ContainsFunc(before, later) {
			continue
		}
		if err := r.Save(into); err != nil {
			return nil, err
		}
	}
	all, err := Load(into)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no results in %s and none in %s", dir, into)
	}
	return all, err
}

// explainAnew gives homerun's failures the reasons that are written down now: they were
// others, perhaps, when the suite ran.
func (r Result) explainAnew(root string) error {
	document, ok := reasons()[r.Suite]
	if !ok || r.Runtime != "homerun" {
		return nil
	}
	known, err := ReadKnown(filepath.Join(root, document))
	if err != nil {
		return err
	}
	for i, f := range r.Failed {
		if known[f.Name].Why == "" {
			return fmt.Errorf("%s gives no reason for %s, which failed on %s", document, f.Name, r.Date)
		}
		r.Failed[i].Reason = known[f.Name].Why
	}
	return nil
}

// Totals says how many tests of all suites passed, failed and were skipped on each
// runtime.
func Totals(all []Result) string {
	var parts []string
	for _, runtime := range runtimes() {
		var passed, failed, skipped int
		for _, r := range all {
			if r.Runtime == runtime && !r.Own {
				passed, failed, skipped = passed+r.Passed, failed+len(r.Failed), skipped+len(r.Skipped)
			}
		}
		parts = append(parts, fmt.Sprintf("%s passes %d, fails %d, skips %d", runtime, passed, failed, skipped))
	}
	return strings.Join(parts, "; ")
}

// Document is the text of docs/conformance.md.
func Document(all []Result) string {
	var b strings.Builder
	b.WriteString(title + Totals(all) + ".\n\n")
	b.WriteString("| suite | version | day | homerun | crun | runc |\n|---|---|---|---|---|---|\n")
	suites := bySuite(all)
	names := slices.Sorted(maps.Keys(suites))
	own := func(name string) bool { return suites[name]["homerun"].Own }
	engines := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !own(name) })
	names = slices.DeleteFunc(names, own)
	for _, name := range names {
		row(&b, name, suites[name])
	}
	b.WriteString("\nEach cell: passed, failed, skipped; the runtime's version.\n" + older(all))
	for _, name := range names {
		failures(&b, name, suites[name])
	}
	if len(engines) > 0 {
		steps(&b, engines, suites)
	}
	return b.String()
}

// older says which results are not of the last day of all.
func older(all []Result) string {
	var last string
	for _, r := range all {
		last = max(last, r.Date)
	}
	var names []string
	for _, r := range all {
		if r.Date < last {
			names = append(names, fmt.Sprintf("%s on %s (%s)", r.Suite, r.Runtime, r.Date))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "\nNot run anew on " + last + ": " + strings.Join(names, ", ") + ".\n"
}

// steps writes how days with engines went.
func steps(b *strings.Builder, names []string, suites map[string]map[string]Result) {
	b.WriteString(`
## Container engines

These steps are homerun's own (tests/engines, [engines.md](engines.md)), the engines are not. Each part ran on homerun, and in the same
way on the runtime that the engine has by itself. A step passes on homerun when it ends, says and leaves what it does there; the other
runtime is held to the exit statuses alone. A step that differs may, and stands below with its reason. They are not in the totals above.

| part | with | day | passed, differing, failed on homerun | passed, failed beside |
|---|---|---|---|---|
`)
	for _, name := range names {
		ours, beside := suites[name]["homerun"], ""
		for _, runtime := range runtimes()[1:] {
			if r, ran := suites[name][runtime]; ran {
				beside = fmt.Sprintf("%d, %d; %s %s", r.Passed, len(r.Failed), runtime, r.RuntimeVersion)
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %d, %d, %d; %s | %s |\n", name, ours.Version, ours.Date, ours.Passed, len(ours.Differing), len(ours.Failed),
			ours.RuntimeVersion, beside)
	}
	b.WriteString("\n| step | on homerun | why |\n|---|---|---|\n")
	for _, name := range names {
		for _, f := range suites[name]["homerun"].Differing {
			fmt.Fprintf(b, "| %s: %s | differs | %s |\n", name, cell(f.Name), cell(f.Reason))
		}
		for _, f := range suites[name]["homerun"].Failed {
			fmt.Fprintf(b, "| %s: %s | fails | %s |\n", name, cell(f.Name), cell(f.Reason))
		}
	}
}

// bySuite is the result of each suite on each runtime.
func bySuite(all []Result) map[string]map[string]Result {
	suites := map[string]map[string]Result{}
	for _, r := range all {
		if suites[r.Suite] == nil {
			suites[r.Suite] = map[string]Result{}
		}
		suites[r.Suite][r.Runtime] = r
	}
	return suites
}

func row(b *strings.Builder, name string, by map[string]Result) {
	var version, day string
	var cells []string
	for _, runtime := range runtimes() {
		r, ran := by[runtime]
		if !ran {
			cells = append(cells, "not run")
			continue
		}
		version, day = max(version, r.Version), max(day, r.Date)
		cells = append(cells, strings.TrimSpace(fmt.Sprintf("%d, %d, %d; %s", r.Passed, len(r.Failed), len(r.Skipped), r.RuntimeVersion)))
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, version, day, strings.Join(cells, " | "))
}

// failures writes what a suite said of homerun, and beside it what of the others;
// tests that have one reason stand together.
func failures(b *strings.Builder, name string, by map[string]Result) {
	ours := by["homerun"]
	if len(ours.Failed) > 0 {
		fmt.Fprintf(b, "\n## %s: what fails on homerun\n\n| test | crun | runc | why |\n|---|---|---|---|\n", name)
	}
	before := ""
	for _, f := range slices.SortedStableFunc(slices.Values(ours.Failed), func(a, c Finding) int { return strings.Compare(a.Reason, c.Reason) }) {
		why := f.Reason
		if why == before {
			why = "the same"
		}
		before = f.Reason
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", cell(f.Name), by["crun"].said(f.Name), by["runc"].said(f.Name), cell(why))
	}
	if len(ours.Skipped) > 0 {
		fmt.Fprintf(b, "\n## %s: what did not run on homerun\n\n| why | tests |\n|---|---|\n", name)
	}
	reasons := map[string][]string{}
	for _, f := range ours.Skipped {
		reasons[f.Reason] = append(reasons[f.Reason], f.Name)
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(b, "| %s | %s |\n", cell(reason), cell(strings.Join(reasons[reason], "; ")))
	}
}

// said is what a test did on this runtime.
func (r Result) said(name string) string {
	is := func(f Finding) bool { return f.Name == name }
	switch {
	case r.Suite == "":
		return ""
	case slices.ContainsFunc(r.Failed, is):
		return "fails"
	case slices.ContainsFunc(r.Skipped, is):
		return "skips"
	}
	return "passes"
}

// cell is text for a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}
