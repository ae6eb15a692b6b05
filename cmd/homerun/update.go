package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/runflags"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// limit is a flag of update and what it sets.
type limit struct {
	name, help string
	// size takes units.
	size bool
	set  func(*specs.LinuxResources, int64)
}

// limits lists the flags with a number, under runc's names.
func limits() []limit {
	return []limit{
		{"memory", "memory in bytes, or with a unit as 512m; -1 lifts the limit", true, func(r *specs.LinuxResources, n int64) { r.Memory.Limit = &n }},
		{"memory-reservation", "memory that is taken from it last", true, func(r *specs.LinuxResources, n int64) { r.Memory.Reservation = &n }},
		{"memory-swap", "memory and swap together; -1 lifts the limit", true, func(r *specs.LinuxResources, n int64) { r.Memory.Swap = &n }},
		{"kernel-memory", "only with cgroup v1, so an error", true, func(r *specs.LinuxResources, n int64) { r.Memory.Kernel = &n }},
		{"kernel-memory-tcp", "only with cgroup v1, so an error", true, func(r *specs.LinuxResources, n int64) { r.Memory.KernelTCP = &n }},
		{"cpu-period", "period of the quota in microseconds", false, func(r *specs.LinuxResources, n int64) { r.CPU.Period = unsigned(n) }},
		{"cpu-quota", "CPU time in a period, in microseconds; -1 lifts the limit", false, func(r *specs.LinuxResources, n int64) { r.CPU.Quota = &n }},
		{"cpu-burst", "CPU time saved from earlier periods, in microseconds", false, func(r *specs.LinuxResources, n int64) { r.CPU.Burst = unsigned(n) }},
		{"cpu-share", "share of the CPUs, 2 to 262144", false, func(r *specs.LinuxResources, n int64) { r.CPU.Shares = unsigned(n) }},
		{"cpu-idle", "1: run only where nobody else wants to", false, func(r *specs.LinuxResources, n int64) { r.CPU.Idle = &n }},
		{"cpu-rt-period", "only with cgroup v1, so an error", false, func(r *specs.LinuxResources, n int64) { r.CPU.RealtimePeriod = unsigned(n) }},
		{"cpu-rt-runtime", "only with cgroup v1, so an error", false, func(r *specs.LinuxResources, n int64) { r.CPU.RealtimeRuntime = &n }},
		{"pids-limit", "processes and threads; -1 lifts the limit", false, func(r *specs.LinuxResources, n int64) { r.Pids.Limit = &n }},
		{"blkio-weight", "weight for input and output, 10 to 1000", false, func(r *specs.LinuxResources, n int64) { r.BlockIO.Weight = weight(n) }},
	}
}

func unsigned(n int64) *uint64 {
	u := uint64(n)
	return &u
}

func weight(n int64) *uint16 {
	u := uint16(n)
	return &u
}

// updateFlags are those of update.
type updateFlags struct {
	resources, cpus, mems string
	schemas               [2]string
	numbers               map[string]*string
}

func newUpdateCommand(o *options) *cobra.Command {
	f := &updateFlags{numbers: map[string]*string{}}
	c := &cobra.Command{
		Use:   "update [-r FILE|-] ID",
		Short: "Change the limits of a running container",
		Args:  o.oneID("update"),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			res, err := f.read()
			if err != nil {
				return err
			}
			if rdt := f.class(); rdt != nil {
				if err := r.UpdateClass(ctx, args[0], rdt); err != nil {
					return err
				}
			}
			return r.Update(ctx, args[0], res)
		}),
	}
	c.Flags().AddFlagSet(updateFlagSet(f))
	return c
}

func updateFlagSet(f *updateFlags) *pflag.FlagSet {
	flags := pflag.NewFlagSet("update", pflag.ContinueOnError)
	flags.StringVarP(&f.resources, "resources", "r", "", "file with linux.resources as config.json has it, or - for standard input; the other flags but those of resctrl are then ignored")
	flags.StringVar(&f.cpus, "cpuset-cpus", "", "CPUs to use, as 0-3,7")
	flags.StringVar(&f.mems, "cpuset-mems", "", "memory nodes to use")
	flags.StringVar(&f.schemas[0], "l3-cache-schema", "", "cache of the container's own class of resctrl, as L3:0=f")
	flags.StringVar(&f.schemas[1], "mem-bw-schema", "", "memory bandwidth of that class, as MB:0=50")
	for _, l := range limits() {
		f.numbers[l.name] = flags.String(l.name, "", l.help)
	}
	return flags
}

// read makes the update: from the file, or from the flags.
func (f *updateFlags) read() (*specs.LinuxResources, error) {
	if f.resources == "" {
		return f.fromFlags()
	}
	text, err := readInput(f.resources)
	if err != nil {
		return nil, err
	}
	res, err := bundle.DecodeResources(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.resources, err)
	}
	return res, nil
}

// class is what the flags say of resctrl, nil if nothing; as runc's, they count
// beside a file too.
func (f *updateFlags) class() *specs.LinuxIntelRdt {
	if f.schemas == [2]string{} {
		return nil
	}
	return &specs.LinuxIntelRdt{L3CacheSchema: f.schemas[0], MemBwSchema: f.schemas[1]}
}

func (f *updateFlags) fromFlags() (*specs.LinuxResources, error) {
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{Cpus: f.cpus, Mems: f.mems},
		Pids: &specs.LinuxPids{}, BlockIO: &specs.LinuxBlockIO{}}
	for _, l := range limits() {
		text := *f.numbers[l.name]
		if text == "" {
			continue
		}
		n, err := number(text, l.size)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", l.name, err)
		}
		if !inRange(l.name, n) {
			return nil, fmt.Errorf("--%s: %d is out of range", l.name, n)
		}
		l.set(r, n)
	}
	return withoutEmpty(r), nil
}

// inRange keeps numbers out of fields that would turn them into others.
func inRange(name string, n int64) bool {
	switch name {
	case "blkio-weight":
		return n == 0 || n >= 10 && n <= 1000
	case "cpu-period", "cpu-burst", "cpu-share", "cpu-rt-period":
		return n >= 0
	}
	return n >= -1
}

// withoutEmpty drops the sections that no flag set.
func withoutEmpty(r *specs.LinuxResources) *specs.LinuxResources {
	if *r.Memory == (specs.LinuxMemory{}) {
		r.Memory = nil
	}
	if *r.CPU == (specs.LinuxCPU{}) {
		r.CPU = nil
	}
	if r.Pids.Limit == nil {
		r.Pids = nil
	}
	if r.BlockIO.Weight == nil {
		r.BlockIO = nil
	}
	return r
}

// number reads an integer, with a unit where sizes are meant.
func number(text string, size bool) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if !size {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return runflags.Size(text)
}
