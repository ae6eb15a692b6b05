package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// growth is something of which there is more and more: in config.json, which change
// is for, or on the host, which prepare brings about.
type growth struct {
	name    string
	sizes   []int
	verbs   []string
	change  func(c *specs.Spec, n int) error
	prepare func(n int) error
}

// point is what all runtimes took with one size of one growth.
type point struct {
	size  int
	times *samples
	calls map[string]map[string]int // by runtime and verb
}

func (b *bench) growths() []growth {
	verbs := []string{"run", "create", "start", "state", "exec", "kill", "delete", "list"}
	all := []growth{
		{name: "bind mounts", sizes: []int{10, 100, 1000}, verbs: verbs[:7], change: b.bindMounts},
		{name: "tmpfs mounts", sizes: []int{10, 100, 1000}, verbs: verbs[:3], change: b.tmpfsMounts},
		{name: "masked paths", sizes: []int{10, 100, 1000}, verbs: verbs[:3], change: b.maskedPaths},
		{name: "KB of environment", sizes: []int{4, 400, 4000}, verbs: verbs[:7], change: environment},
		{name: "running containers", sizes: []int{0, 100, 1000}, verbs: verbs, prepare: b.running},
		{name: "stopped containers", sizes: []int{1000, 100, 0}, verbs: verbs, prepare: b.stopped},
	}
	if os.Geteuid() == 0 {
		all = append(all, growth{name: "mounts of the host", sizes: []int{0, 1000, 10000}, verbs: verbs[:7], prepare: b.hostMounts})
	} else {
		fmt.Fprintln(os.Stderr, "bench: mounts of the host are left out: they take root")
	}
	return all
}

// measureGrowth measures all growths, and writes one table.
func (b *bench) measureGrowth(out io.Writer, o options) error {
	wanted, err := regexp.Compile(o.growth)
	if err != nil {
		return err
	}
	if len(b.runtimes) < 2 {
		return fmt.Errorf("growth takes two runtimes to compare")
	}
	b.runtimes, b.scene = b.runtimes[:2], plainScene()
	defer b.deleteOthers()
	defer b.removeHostMounts()
	table := newGrowthTable(out, b.runtimes)
	for _, g := range b.growths() {
		if !wanted.MatchString(g.name) {
			continue
		}
		var points []point
		for _, size := range g.sizes {
			p, err := b.measurePoint(&g, size, o.rounds)
			if err != nil {
				return fmt.Errorf("%d %s: %w", size, g.name, err)
			}
			points = append(points, p)
		}
		table.add(&g, points)
	}
	return table.flush()
}

func (b *bench) measurePoint(g *growth, size, n int) (point, error) {
	p := point{size: size, times: newSamples(), calls: map[string]map[string]int{}}
	for _, program := range []string{"true", "pause"} {
		c := b.config(plainScene(), program)
		if g.change != nil {
			if err := g.change(c, size); err != nil {
				return p, err
			}
		}
		if err := b.writeBundle(program, c); err != nil {
			return p, err
		}
	}
	if g.prepare != nil {
		if err := g.prepare(size); err != nil {
			return p, err
		}
	}
	var turns []turn
	for _, c := range b.runtimes {
		take := func(s *samples) error {
			return b.life(c, func(verb string, args ...string) error { return b.take(s, verb, c.name, args...) })
		}
		turns = append(turns, turn{c.name, take})
	}
	if err := rounds(n, min(n, inARow), turns, p.times); err != nil {
		return p, err
	}
	return p, b.countCalls(&p)
}

// countCalls counts the system calls, where strace is installed.
func (b *bench) countCalls(p *point) error {
	if !hasStrace() {
		return nil
	}
	for _, c := range b.runtimes {
		counts := map[string]int{}
		p.calls[c.name] = counts
		err := b.life(c, func(verb string, args ...string) (err error) {
			counts[verb], err = b.count(args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// life does all verbs with one container, after a run.
func (b *bench) life(c contender, do func(verb string, args ...string) error) error {
	id, pidFile := b.id(), b.file("pid")
	list := [][]string{
		b.command(c, "run", "-b", b.file("true"), b.id()),
		b.command(c, "create", "-b", b.file("pause"), "--pid-file", pidFile, id),
		b.command(c, "start", id),
		b.command(c, "state", id),
		b.command(c, "exec", id, "/bin/true"),
		b.command(c, "list"),
		b.command(c, "kill", id, "KILL"),
		b.command(c, "delete", id),
	}
	verb := len(b.command(c, "")) - 1
	for _, command := range list {
		if command[verb] == "delete" {
			if err := waitForEnd(pidFile); err != nil {
				return err
			}
		}
		if err := do(command[verb], command...); err != nil {
			if command[verb] != "exec" {
				return err
			}
			fmt.Fprintln(os.Stderr, "bench:", err) // crun's, with 4 MB of environment
		}
	}
	return nil
}

// places makes paths in a directory of the rootfs.
func (b *bench) places(n int, in string, create func(path string) error) ([]string, error) {
	var list []string
	if err := makeDirectory(b.file("rootfs/" + in)); err != nil {
		return nil, err
	}
	for i := range n {
		p := fmt.Sprintf("/%s/%d", in, i)
		if err := create(b.file("rootfs" + p)); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func makeDirectory(p string) error { return os.MkdirAll(p, 0o755) }

func makeFile(p string) error { return os.WriteFile(p, nil, 0o644) }

func (b *bench) bindMounts(c *specs.Spec, n int) error {
	return b.addMounts(c, n, mount("bind", "", "bind", "ro"))
}

func (b *bench) tmpfsMounts(c *specs.Spec, n int) error {
	return b.addMounts(c, n, mount("tmpfs", "", "nosuid", "size=64k"))
}

// addMounts adds copies of a mount at n places.
func (b *bench) addMounts(c *specs.Spec, n int, like specs.Mount) error {
	places, err := b.places(n, "mounts", makeDirectory)
	for _, p := range places {
		like.Destination, like.Source = p, b.file("run")
		c.Mounts = append(c.Mounts, like)
	}
	return err
}

func (b *bench) maskedPaths(c *specs.Spec, n int) error {
	places, err := b.places(n, "masked", makeFile)
	c.Linux.MaskedPaths = append(c.Linux.MaskedPaths, places...)
	return err
}

// environment adds variables of one KB each. What execve takes is a fourth of the
// limit of the stack.
func environment(c *specs.Spec, n int) error {
	c.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_STACK", Hard: 64 << 20, Soft: 64 << 20}}
	for i := range n {
		name := fmt.Sprintf("V%d=", i)
		c.Process.Env = append(c.Process.Env, name+strings.Repeat("x", 1023-len(name)))
	}
	return nil
}
