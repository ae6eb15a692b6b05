package compile

import (
	"maps"

	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Golden files say only what they are about: what else a plan depends on is
// answered as on a host with nothing of interest. The facts stay as they were.

// compileAnswered is Compile, with what the facts lack.
func compileAnswered(s *specs.Spec, facts *host.Facts, w Wishes) (*Result, error) {
	first := Needs(s, facts, w)
	facts = answered(&first, facts)
	b, err := Begin(s, facts, w)
	if err != nil {
		return nil, err
	}
	rest, err := b.Needs()
	if err != nil {
		return nil, err
	}
	b.c.facts = answered(&rest, facts)
	return b.Finish(w.Seccomp)
}

func joinAnswered(j Join, facts *host.Facts) (*Result, error) {
	n := JoinNeeds(j)
	return CompileJoin(j, answered(&n, facts))
}

func mountsAnswered(m Mounts, facts *host.Facts) (*Result, error) {
	n, err := MountsNeeds(m, facts)
	if err != nil {
		return nil, err
	}
	return CompileMounts(m, answered(&n, facts))
}

// answered are the facts with what is needed and missing.
func answered(n *host.Needs, facts *host.Facts) *host.Facts {
	f := *facts
	f.Namespaces, f.NetworkFiles, f.Sources, f.Nodes = copied(f.Namespaces), copied(f.NetworkFiles), copied(f.Sources), copied(f.Nodes)
	f.Proc, f.Targets, f.Process.Rlimits = copied(f.Proc), copied(f.Targets), copied(f.Process.Rlimits)
	answerValues(n, &f)
	answerPaths(n, &f)
	return &f
}

func copied[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

// add answers for what has no answer.
func add[V any](m map[string]V, name string, v V) {
	if _, ok := m[name]; !ok {
		m[name] = v
	}
}

// set is add for what is nil.
func set[V any](at **V, needed bool) {
	if *at == nil && needed {
		*at = new(V)
	}
}

func answerValues(n *host.Needs, f *host.Facts) {
	set(&f.Subordinate, n.Subordinate != "")
	set(&f.Cgroup, n.Cgroup != "")
	if f.Cgroup != nil {
		tree := *f.Cgroup
		f.Cgroup = &tree
		set(&f.Cgroup.Delegation, n.Delegation != "")
	}
	if f.ServiceManager.Socket == "" && f.ServiceManager.Trouble == "" && n.ServiceManager != "" {
		f.ServiceManager.Trouble = "nobody answers"
	}
	set(&f.Process.OOMScoreAdj, n.OOMScoreAdj != "")
	set(&f.Home, n.Home != "")
	set(&f.Terminal.Size, n.TerminalSize != "")
	for _, a := range []*host.Answer{&f.LSM.AppArmor, &f.LSM.SELinux} {
		if *a == "" {
			*a = host.No
		}
	}
	if f.Terminal.Output == "" {
		f.Terminal.Output = host.OutputTerminal
	}
	if f.Process.Streams == nil {
		f.Process.Streams = make([]host.Stream, 3)
	}
	if f.KernelMounts == nil {
		f.KernelMounts = []string{"/proc", "/sys"}
	}
}

func answerPaths(n *host.Needs, f *host.Facts) {
	for _, p := range n.Namespaces {
		add(f.Namespaces, p.Path, host.Namespace{})
	}
	for _, name := range n.NetworkFiles {
		add(f.NetworkFiles, name, "")
	}
	for _, p := range n.Sources {
		add(f.Sources, p.Path, host.Source{})
	}
	for _, d := range n.Devices {
		add(f.Sources, d.Path, host.Source{Kind: d.Kind, Rdev: d.Rdev})
		if !d.Is(f.Sources[d.Path]) {
			add(f.Nodes, host.DeviceName(d.Kind, d.Rdev), "")
		}
	}
	for _, p := range n.Proc {
		add(f.Proc, p.Path, host.Missing)
	}
	for _, d := range n.Targets {
		add(f.Targets, d.Path, host.Target{Unknown: host.Covered})
	}
	for _, name := range n.Rlimits {
		add(f.Process.Rlimits, name, 0)
	}
}
