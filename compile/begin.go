package compile

import (
	"errors"
	"slices"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/rootfs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Theory of operation
//
// The kernel needs longer to make namespaces than the runtime to look at the
// host and to compile, so both happen at once. A plan has two parts: the first
// makes the namespaces and needs few facts; the second is given to the stage
// while that is under way. Compile gives the same plan in one go.

// Beginning is a plan whose first part is compiled.
type Beginning struct{ c *compiler }

// Begin compiles the first part of a plan. The facts that only Finish looks at
// may be measured in between: those about mount sources, the rootfs and what
// is in it, unless NeedsAll says otherwise.
func Begin(spec *specs.Spec, facts *host.Facts, options Options) (*Beginning, error) {
	c := &compiler{spec: withDefaults(spec), facts: facts, options: options, result: &Result{}, parts: true}
	for _, step := range []func() error{c.annotations, c.namespaces, c.mappings, c.inputs, c.checkSize, c.outer, c.inner, c.split} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &Beginning{c}, nil
}

// Result is what is known so far; its Plan is the first part.
func (b *Beginning) Result() *Result { return b.c.result }

var errListener = errors.New("BUG: the seccomp filter has a listener that the plan's first part does not know of")

var errUnfiltered = errors.New("BUG: config.json has linux.seccomp, and no filter was compiled from it")

// Finish compiles the rest. Its Plan is the whole plan, first part included.
// The filter may have a listener only if the options for Begin had the filter.
func (b *Beginning) Finish(filter *Filter) (*Result, error) {
	c, knew := b.c, b.c.listens()
	if c.options.Seccomp = filter; filter == nil && c.spec.Linux.Seccomp != nil {
		return nil, errUnfiltered
	}
	if c.listens() != knew {
		return nil, errListener
	}
	if err := c.fileSystem(); err != nil {
		return nil, err
	}
	if err := c.program(); err != nil {
		return nil, err
	}
	if err := c.checkSize(); err != nil {
		return nil, err
	}
	whole := *c.result
	var err error
	whole.Plan, err = c.b.Build()
	return &whole, err
}

// NeedsAll tells whether the first part depends on all facts: id-mapped mounts
// come to the stage as descriptors that it is started with.
func NeedsAll(spec *specs.Spec) bool { return slices.ContainsFunc(spec.Mounts, rootfs.MayMap) }

// DoRest is the runtime's side of the second part: measure, compile, and write
// it.
const DoRest = "rest"

// split lets the stage wait for the second part, and ends the first one.
func (c *compiler) split() error {
	c.b.At("default", "wait for the rest of the plan")
	c.await(c.sync, "rest")
	c.b.Split(c.rest)
	c.b.Close(c.rest)
	c.b.Runtime(plan.RuntimeStep{Signal: "rest", Text: "the rest of the plan is written", Pointer: "default"})
	if !c.recordsEarly() {
		c.recordInit()
	}
	var err error
	c.result.Plan, err = c.b.Head()
	return err
}

// recordsEarly: while the helpers that write id maps run, there is time.
func (c *compiler) recordsEarly() bool {
	m := c.result.Maps
	return m != nil && !c.ns.userEarly && !m.Self()
}

func (c *compiler) recordInit() {
	if c.options.Record {
		c.b.Runtime(plan.RuntimeStep{Do: DoRecord, Text: "write state.json", Pointer: "default"})
	}
}
