package compile

import (
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
)

// TestNeeds holds what is to be measured against golden files: those of TestGolden,
// but want are the needs of a plan's first part and of its rest as JSON.
func TestNeeds(t *testing.T) {
	files, err := filepath.Glob("testdata/needs/*.txtar")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a := readArchive(t, file)
			g := readGolden(t, a)
			c := g.trial(t)
			got := ""
			for _, n := range c.needs {
				text, err := json.MarshalIndent(n, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				got += string(text) + "\n"
			}
			want := &a.sections[len(a.sections)-1]
			if want.text == got {
				return
			}
			if *update {
				want.text = got
				a.write(t, file)
				return
			}
			t.Errorf("go test ./compile -update rewrites the file; then read the diff.\n%s", difference(want.text, got))
		})
	}
}

// trial is a golden file's compilation, its needs and all that answers them.
type trial struct {
	needs   []host.Needs
	facts   *host.Facts
	compile func(*host.Facts) (*Result, error)
}

func (g golden) trial(t *testing.T) trial {
	t.Helper()
	b, facts := g.input(t)
	if text, ok := g.sections["join.json"]; ok {
		j := Join{Process: b.Config.Process, Spec: b.Config}
		strict(t, "join.json", []byte(text), &j)
		n := JoinNeeds(j)
		return trial{[]host.Needs{n}, answered(&n, facts), func(f *host.Facts) (*Result, error) { return CompileJoin(j, f) }}
	}
	if text, ok := g.sections["mounts.json"]; ok {
		m := Mounts{BundleDir: b.Dir}
		strict(t, "mounts.json", []byte(text), &m)
		n, _ := MountsNeeds(m, facts)
		return trial{[]host.Needs{n}, answered(&n, facts), func(f *host.Facts) (*Result, error) { return CompileMounts(m, f) }}
	}
	w := g.wishes(t)
	c := trial{compile: func(f *host.Facts) (*Result, error) { return Compile(b.Config, f, w) }}
	first := Needs(b.Config, facts, w)
	c.needs, c.facts = []host.Needs{first}, answered(&first, facts)
	if begun, err := Begin(b.Config, c.facts, w); err == nil {
		if rest, err := begun.Needs(); err == nil {
			c.needs, c.facts = append(c.needs, rest), answered(&rest, c.facts)
		}
	}
	return c
}

func trials(t *testing.T, each func(file string, c trial)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	more, _ := filepath.Glob("testdata/needs/*.txtar")
	if err != nil || len(more) == 0 {
		t.Fatal("no golden files")
	}
	for _, file := range append(files, more...) {
		each(file, readGolden(t, readArchive(t, file)).trial(t))
	}
}

// wanted lists the facts that answer needs, by their JSON paths, with who needs them.
func wanted(n *host.Needs, f *host.Facts) (facts [][]string, places []host.Place) {
	add := func(place host.Place, path ...string) {
		if place != "" {
			facts, places = append(facts, path), append(places, place)
		}
	}
	add(n.Subordinate, "subordinate")
	add(n.Cgroup, "cgroup")
	if f.Cgroup != nil && f.Cgroup.Unified && !f.Cgroup.ReadOnly {
		add(n.Delegation, "cgroup", "delegation")
		if !n.OnlyMaybe || f.Cgroup.Delegation.Maybe != "" {
			add(n.ServiceManager, "serviceManager")
		}
	}
	add(n.AppArmor, "lsm", "apparmor")
	add(n.SELinux, "lsm", "selinux")
	add(n.OOMScoreAdj, "process", "oomScoreAdj")
	add(n.Streams, "process", "streams")
	for _, p := range n.Namespaces {
		add(p.Place, "namespaces", p.Path)
	}
	for _, name := range n.NetworkFiles {
		add("default", "networkFiles", name)
	}
	for _, p := range n.Sources {
		add(p.Place, "sources", p.Path)
	}
	for _, d := range n.Devices {
		add(d.Place, "sources", d.Path)
		if name := host.DeviceName(d.Kind, d.Rdev); !d.Is(f.Sources[d.Path]) {
			add(d.Place, "nodes", name)
		}
	}
	for _, p := range n.Proc {
		add(p.Place, "proc", p.Path)
	}
	for _, name := range n.Rlimits {
		add("process.rlimits", "process", "rlimits", name)
	}
	add(n.TerminalSize, "terminal", "size")
	add(n.TerminalOutput, "terminal", "output")
	add(n.KernelMounts, "kernelMounts")
	if n.Rootfs == "" {
		return facts, places
	}
	add("root.path", "rootfs")
	if f.Rootfs.Kind != host.Directory {
		return facts, places
	}
	for _, d := range n.Targets {
		add(d.Place, "targets", d.Path)
		if t := f.Targets[d.Path]; d.Tree && t.Kind == host.Directory {
			add(d.Place, "targets", d.Path, "tree")
		}
	}
	add(n.Layers, "layers")
	add(n.Home, "home")
	return facts, places
}

// TestLacks takes each fact out that a golden file's plan needs, and nothing else:
// the error names it, and who needs it. Every kind of fact is among them.
func TestLacks(t *testing.T) {
	kinds := map[string]bool{}
	trials(t, func(file string, c trial) {
		for i := range c.needs {
			facts, places := wanted(&c.needs[i], c.facts)
			for k, path := range facts {
				_, err := c.compile(without(t, c.facts, path))
				var e *fault.Error
				if !errors.As(err, &e) || e.Why != "the facts about the host lack "+name(path) || e.Hint == "" {
					t.Errorf("%s: without %s: %v", file, name(path), err)
					continue
				}
				// Several parts of config.json may need the same.
				if first := slices.IndexFunc(facts, func(p []string) bool { return slices.Equal(p, path) }); e.Place != string(places[first]) {
					t.Errorf("%s: %s is missed by %s, want %s", file, name(path), e.Place, places[k])
				}
				kinds[kind(path)] = true
			}
		}
	})
	for _, want := range []string{"subordinate", "cgroup", "cgroup.delegation", "serviceManager", "lsm.apparmor", "lsm.selinux",
		"process.oomScoreAdj", "process.streams", "namespaces", "networkFiles", "sources", "nodes", "proc", "process.rlimits",
		"terminal.size", "terminal.output", "kernelMounts", "rootfs", "targets", "targets.tree", "layers", "home"} {
		if !kinds[want] {
			t.Errorf("no golden file needs %s", want)
		}
	}
}

// maps are the members of the facts that have others by name.
func isMap(member string) bool {
	return slices.Contains([]string{"namespaces", "networkFiles", "sources", "nodes", "proc", "rlimits", "targets"}, member)
}

// name is a JSON path as a message has it.
func name(path []string) string {
	text := ""
	for i, p := range path {
		switch {
		case i > 0 && isMap(path[i-1]):
			text += "[" + strconv.Quote(p) + "]"
		case i > 0:
			text += "." + p
		default:
			text = p
		}
	}
	return text
}

// kind is a JSON path without what is named.
func kind(path []string) string {
	var parts []string
	for i, p := range path {
		if i == 0 || !isMap(path[i-1]) {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ".")
}

// without are the facts without one, which is taken from their JSON form.
func without(t *testing.T, facts *host.Facts, path []string) *host.Facts {
	t.Helper()
	text, err := json.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	at := all
	for _, p := range path[:len(path)-1] {
		at = at[p].(map[string]any)
	}
	if _, there := at[path[len(path)-1]]; !there {
		t.Fatalf("the facts have no %s: %s", name(path), text)
	}
	delete(at, path[len(path)-1])
	text, err = json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	less, err := host.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return less
}

// TestEnough: the facts that are named, and none else, give the same plan.
func TestEnough(t *testing.T) {
	plans := 0
	trials(t, func(file string, c trial) {
		want, err := c.compile(c.facts)
		if err != nil {
			return
		}
		got, err := c.compile(onlyNamed(t, c))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
		plans++
		if a, b := (golden{}).print(want), (golden{}).print(got); a != b {
			t.Errorf("%s: the plan depends on facts that it does not name:\n%s", file, difference(a, b))
		}
	})
	if plans < 60 {
		t.Errorf("only %d plans", plans)
	}
}

// onlyNamed are the facts that every plan has, and those that are named.
func onlyNamed(t *testing.T, c trial) *host.Facts {
	t.Helper()
	f := &host.Facts{Process: c.facts.Process, UserNamespace: c.facts.UserNamespace, Kernel: c.facts.Kernel, Notify: c.facts.Notify,
		Listen: c.facts.Listen}
	f.Process.OOMScoreAdj, f.Process.Streams, f.Process.Rlimits = nil, nil, nil
	var all, few map[string]any
	for _, v := range []struct {
		from *host.Facts
		to   *map[string]any
	}{{c.facts, &all}, {f, &few}} {
		text, err := json.Marshal(v.from)
		if err == nil {
			err = json.Unmarshal(text, v.to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.needs {
		facts, _ := wanted(&c.needs[i], c.facts)
		for _, path := range facts {
			copyMember(all, few, path)
		}
	}
	text, err := json.Marshal(few)
	if err != nil {
		t.Fatal(err)
	}
	less, err := host.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return less
}

func copyMember(from, to map[string]any, path []string) {
	for _, p := range path[:len(path)-1] {
		if to[p] == nil {
			to[p] = map[string]any{}
		}
		from, to = from[p].(map[string]any), to[p].(map[string]any)
	}
	to[path[len(path)-1]] = from[path[len(path)-1]]
}

// TestOutside puts paths into the facts that no measurement gives: that of a mount's
// destination, of what is to be copied out of one, of a part of an overlay's root.
func TestOutside(t *testing.T) {
	kinds := map[string]bool{}
	trials(t, func(file string, c trial) {
		if _, err := c.compile(c.facts); err != nil {
			return
		}
		for _, bad := range []string{"", ".", "..", "../etc", "/etc", "etc/", "etc/../..", "etc//passwd"} {
			for kind, change := range outsides(c, bad) {
				_, err := c.compile(change.facts)
				var e *fault.Error
				if !errors.As(err, &e) || e.Why != "the facts about the host lack "+change.name {
					t.Errorf("%s: %s is %q: %v", file, change.name, bad, err)
				}
				kinds[kind] = true
			}
		}
	})
	for _, kind := range []string{"target", "entry", "part"} {
		if !kinds[kind] {
			t.Errorf("no golden file has a %s", kind)
		}
	}
}

// misplaced are facts with a path changed, and its name.
type misplaced struct {
	facts *host.Facts
	name  string
}

// outsides changes one path of each kind, if the facts have such a one.
func outsides(c trial, bad string) map[string]misplaced {
	changed := map[string]misplaced{}
	for path, target := range c.facts.Targets {
		if target.Unknown != "" || target.Kind != host.Missing && (bad == "" || bad == ".") { // the root, which is there
			continue
		}
		if !slices.ContainsFunc(c.needs, func(n host.Needs) bool {
			return slices.ContainsFunc(n.Targets, func(d host.Destination) bool { return d.Path == path })
		}) {
			continue
		}
		f, member := withTargets(c.facts), "targets["+strconv.Quote(path)+"]"
		target.Resolved = bad
		f.Targets[path] = target
		changed["target"] = misplaced{f, member + ".resolved"}
		if target.Tree == nil || len(target.Tree.Entries) == 0 {
			continue
		}
		f, target = withTargets(c.facts), c.facts.Targets[path]
		tree := *target.Tree
		tree.Entries = slices.Clone(tree.Entries)
		tree.Entries[0].Path = bad
		target.Tree = &tree
		f.Targets[path] = target
		changed["entry"] = misplaced{f, member + ".tree.entries[0].path"}
	}
	if c.facts.Layers != nil && len(c.facts.Layers.Parts) > 0 {
		f, layers := *c.facts, *c.facts.Layers
		layers.Parts = slices.Clone(layers.Parts)
		layers.Parts[0].Path = bad
		f.Layers = &layers
		changed["part"] = misplaced{&f, "layers.parts[0].path"}
	}
	return changed
}

// withTargets are facts whose targets may be changed.
func withTargets(facts *host.Facts) *host.Facts {
	f := *facts
	f.Targets = maps.Clone(f.Targets)
	return &f
}
