package container

import (
	"context"
	"fmt"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/systemd/bus"
)

// Runtime is where containers are kept; New makes one.
type Runtime struct{ options Options }

// New is a Runtime with these options. The error is about them: nothing is looked
// at, and nothing made, before a method is called.
func New(o Options) (*Runtime, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Runtime{o}, nil
}

// prober measures for a plan whose process gets these streams.
func (r *Runtime) prober(stdio [3]int) (*probe.Prober, error) {
	p, err := probe.New(stdio)
	if err == nil {
		p.Facts.Process.TimerSlack = r.options.TimerSlack
	}
	return p, err
}

// root is the state root.
func (r *Runtime) root() store.Root { return store.Root(r.options.Root) }

// warn hands a warning on, with the hint of an error that is in it.
func (r *Runtime) warn(format string, args ...any) {
	if r.options.Warn == nil {
		return
	}
	text := fmt.Sprintf(format, args...)
	for _, a := range args {
		if err, ok := a.(error); ok {
			text = fault.OneLine(text, err)
		}
	}
	r.options.Warn(text)
}

// warnOf hands on warnings that are texts already.
func (r *Runtime) warnOf(texts []string) {
	if r.options.Warn == nil {
		return
	}
	for _, text := range texts {
		r.options.Warn(text)
	}
}

func (r *Runtime) note(format string, args ...any) {
	if r.options.Note != nil {
		r.options.Note(fmt.Sprintf(format, args...))
	}
}

// Container is a container in a state root. It is a value of one caller: not
// safe for concurrent use.
type Container struct {
	// ID is its name in the state root.
	ID string
	// State is what is recorded of it.
	State   store.State
	runtime *Runtime
	// dir is its directory: where the state is, and what is locked.
	dir *store.Dir
	// config is the bundle, once it was read.
	config *bundle.Bundle
	// hooked is set once this process has come to the container's hooks: the last
	// ones run when it fails.
	hooked *bundle.Bundle
	// ended: no process of it is left, whoever has init's number.
	ended bool
	// bus leads to the service manager, a moment after the start; else it is nil.
	bus *bus.Conn
	// beside has what was read for others in the same list.
	beside *beside
}

// Directory is where the container's state is kept.
func (c *Container) Directory() string { return c.dir.Path() }

// save writes the state.
func (c *Container) save() error { return c.dir.WriteState(&c.State) }

// load reads the state. That of a container whose process ids mean others here is
// errElsewhere.
func (c *Container) load() error {
	s, err := c.dir.ReadState()
	if err == nil {
		c.State = s
		err = c.here()
	}
	return err
}

// container is the one of a directory. Its state is not read.
func (r *Runtime) container(d *store.Dir) *Container {
	return &Container{ID: d.ID, runtime: r, dir: d, beside: new(beside)}
}

// unmade is a container whose directory is not there yet.
func (r *Runtime) unmade(id string) (*Container, error) {
	d, err := r.root().Unmade(id)
	if err != nil {
		return nil, err
	}
	return r.container(d), nil
}

// Open locks a container and reads its state. It waits for whoever has the lock, or
// until ctx ends. Close it.
func (r *Runtime) Open(ctx context.Context, id string) (*Container, error) {
	d, err := r.root().Open(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.loaded(d)
}

// Peek reads a container's state without the lock: what is written is written
// as a whole. Close it.
func (r *Runtime) Peek(id string) (*Container, error) {
	d, err := r.root().Peek(id)
	if err != nil {
		return nil, err
	}
	return r.loaded(d)
}

// loaded reads the state of a directory's container. It closes one that has none.
func (r *Runtime) loaded(d *store.Dir) (*Container, error) {
	c := r.container(d)
	if err := c.load(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close gives the lock back, and the descriptors.
func (c *Container) Close() {
	c.closeBus()
	c.dir.Close()
}

// List calls each with all containers, by id, without locking them. They are
// closed when it returns. One that vanishes meanwhile is left out; of one whose
// state cannot be read, or of which each has an error, Options.Warn hears.
func (r *Runtime) List(each func(*Container) error) error {
	all := &beside{list: true}
	return r.forAll(func(d *store.Dir) error {
		c := r.container(d)
		c.beside = all
		err := c.load()
		if err == nil {
			err = each(c)
		}
		return err
	})
}

// IDs lists the ids of all containers, in order, also of those whose state cannot
// be read.
func (r *Runtime) IDs() (ids []string, err error) {
	err = r.forAll(func(d *store.Dir) error {
		ids = append(ids, d.ID)
		return nil
	})
	return ids, err
}

// forAll calls do with the directories of all containers. Errors of single ones
// are warnings.
func (r *Runtime) forAll(do func(*store.Dir) error) error {
	return r.root().List(do, func(err error) { r.warn("%v", err) })
}
