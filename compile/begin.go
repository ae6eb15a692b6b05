package compile

import (
	"errors"
	"maps"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Theory of operation
//
// The kernel needs longer to make namespaces than the runtime to look at the
// host and to compile, so both happen at once. A plan has two parts: the first
// makes the namespaces and needs few facts; the second is given to the stage
// while that is under way. Systemd, newuidmap and newgidmap need init's id and take longer
// still: where one of them is asked, that comes first, and the second part is compiled
// meanwhile, or while init makes its network namespace. Compile gives the same plan in
// one go.

// Beginning is a plan whose first part is compiled.
type Beginning struct{ c *compiler }

// Begin compiles the first part of a plan. Of the facts it takes those that Needs
// names; what the result's Needs names may be measured before Finish.
func Begin(spec *specs.Spec, facts *host.Facts, wishes Wishes) (*Beginning, error) {
	c := &compiler{spec: withDefaults(spec), facts: facts, wishes: wishes, result: &Result{}, parts: true}
	if err := lacks(firstNeeds(c.spec, facts, &wishes), facts); err != nil {
		return nil, err
	}
	c.surroundings()
	for _, step := range []func() error{c.annotations, c.chooseCgroup, c.decide, c.namespaces, c.mappings, c.inputs, c.checkSize,
		c.before, c.firstProcess, c.beginInit, c.split} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &Beginning{c}, nil
}

// Spec is what the rest of the facts are to be measured for: config.json and what
// the container gets beside it.
func (b *Beginning) Spec() *specs.Spec { return b.c.spec }

// Result is what is known so far; its Plan is the first part.
func (b *Beginning) Result() *Result { return b.c.result }

var errListener = errors.New("BUG: the seccomp filter has a listener that the plan's first part does not know of")

var errUnfiltered = errors.New("BUG: config.json has linux.seccomp, and no filter was compiled from it")

// Unfilter has Finish do without the filter of linux.seccomp, in a plan that nobody will run.
func (b *Beginning) Unfilter() { b.c.unfiltered = true }

// Finish compiles the rest. Its Plan is the whole plan, first part included.
// The filter may have a listener only if the options for Begin had the filter.
func (b *Beginning) Finish(filter *Filter) (*Result, error) {
	c, knew := b.c, b.c.listens()
	if c.wishes.Seccomp = filter; filter == nil && c.spec.Linux.Seccomp != nil && !c.unfiltered {
		return nil, errUnfiltered
	}
	if c.listens() != knew {
		return nil, errListener
	}
	if needs, err := b.Needs(); err != nil {
		return nil, err
	} else if err := lacks(needs, c.facts); err != nil {
		return nil, err
	}
	c.facts = c.withOwnSources()
	c.room()
	if err := c.fileSystem(); err != nil {
		return nil, err
	}
	if err := c.program(); err != nil {
		return nil, err
	}
	c.after()
	if err := c.checkSize(); err != nil {
		return nil, err
	}
	whole := *c.result
	var err error
	whole.Plan, err = c.b.Build()
	return &whole, err
}

// withOwnSources are the facts with what of the container's directory is mounted.
func (c *compiler) withOwnSources() *host.Facts {
	if len(c.ownSources) == 0 {
		return c.facts
	}
	facts := *c.facts
	facts.Sources = maps.Clone(facts.Sources)
	if facts.Sources == nil {
		facts.Sources = map[string]host.Source{}
	}
	maps.Copy(facts.Sources, c.ownSources)
	return &facts
}

// split lets the stage wait for the second part, and ends the first one.
func (c *compiler) split() error {
	if c.initFirst() {
		c.compileRest()
	}
	c.b.At("default", "wait for the rest of the plan")
	c.await(c.sync, "rest")
	c.b.Split(c.rest)
	c.b.Close(c.rest)
	c.recordAt(beforeRest)
	if !c.restFirst() {
		c.answerAt("default", "rest")
	}
	c.recordAt(afterRest)
	var err error
	c.result.Plan, err = c.b.Head()
	return err
}

// mapsBeside: newuidmap or newgidmap write a map of init's. They take long, and so start
// before the runtime does anything else for init, which waits for them before it hides and
// opens something.
func (c *compiler) mapsBeside() bool {
	return c.result.Maps != nil && !c.ns.userEarly && c.result.Maps.Helped()
}

// mapsFirst: init waits for its maps in the first part of the plan, and makes its network
// namespace while the runtime compiles the second part, which takes as long. Until the maps
// are written the runtime does nothing: where there are two CPUs, newuidmap and newgidmap
// have one each.
func (c *compiler) mapsFirst() bool { return c.mapsBeside() && c.ownNetwork() != 0 }

// moment is when init is recorded.
type moment int

const (
	onceKnown     moment = iota // with its scope, which systemd needs long for
	besideHelpers               // while newuidmap and newgidmap run, which take longer still
	afterMaps                   // when it goes on after them, beside its mounts
	beforeRest                  // before it is given the second part
	afterRest                   // when it has been given that
)

// recorded says when: before its scope is asked for; before init hides, if it must be;
// else beside what it does. Where newuidmap and newgidmap run, they begin before.
func (c *compiler) recorded() moment {
	switch {
	case c.mapsBeside() && (c.seenUnhidden() || c.decided.cgroup.late()):
		return besideHelpers
	case c.decided.cgroup.late():
		return onceKnown
	case c.mapsBeside():
		return afterMaps
	case c.seenUnhidden():
		return beforeRest
	default:
		return afterRest
	}
}

// recordAt records init, if this is when.
func (c *compiler) recordAt(now moment) {
	if c.recorded() == now {
		c.recordInit()
	}
}

// restFirst: the second part is the first that init waits for, and waits for nothing
// itself. So init gets it as soon as it is there.
func (c *compiler) restFirst() bool {
	alone := c.result.Maps == nil || c.result.Maps.Self()
	return alone && c.recorded() == afterRest
}

// seenUnhidden: the runtime must look at init before it hides. Of one that has, proc(5) may
// not show even the start time: if it joins namespaces, it has hidden before it was made,
// and the start fails; the error says what helps. Nor does an ordinary user see its mount
// namespace then: if it joins namespaces, that is looked at again once the program runs,
// which may have ended by then.
func (c *compiler) seenUnhidden() bool {
	return c.facts.Process.ProcHides || c.knownByMounts() && len(c.joins) == 0
}

// knownByMounts: the container's processes are those in its mount namespace, since its
// PID namespace has others in it.
func (c *compiler) knownByMounts() bool {
	return !c.owns(specs.PIDNamespace) && c.owns(specs.MountNamespace)
}

// hidesLate: init waits for something in the second part before it hides.
func (c *compiler) hidesLate() bool { return c.mapsBeside() || c.seenUnhidden() }

// recordInit records init, and asks for its scope. What undoes the scope and the
// network is written along, which saves a write of each.
func (c *compiler) recordInit() {
	d := &c.decided.cgroup
	r := action.Record{Complete: !d.late(), Config: !c.wishes.ConfigMade, PidFile: c.wishes.PidFile}
	if d.late() {
		r.Along = append(r.Along, action.StopScope{Unit: d.unit})
	}
	if c.connects() {
		r.Along = append(r.Along, action.EndNetwork{Directory: c.wishes.StateDir})
	}
	c.runtime("default", r)
	c.startScope()
}
