package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/runflags"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// limit is a flag of update and what it sets.
type limit struct {
	name, short string
	// place is what it sets, in linux.resources.
	place, help string
	// size takes units.
	size bool
	set  func(*specs.LinuxResources, int64)
}

// numberFlags lists the flags with a number, under runc's names. docker's and podman's others
// are aliases.
func numberFlags() []limit {
	return []limit{
		{"memory", "m", "memory.limit", "memory in bytes, or with a unit as 512m; -1 lifts the limit", true, func(r *specs.LinuxResources, n int64) { r.Memory.Limit = &n }},
		{"memory-reservation", "", "memory.reservation", "memory that the kernel leaves to it while others have some to give", true, func(r *specs.LinuxResources, n int64) { r.Memory.Reservation = &n }},
		{"memory-swap", "", "memory.swap", "memory and swap together; -1 lifts the limit", true, func(r *specs.LinuxResources, n int64) { r.Memory.Swap = &n }},
		{"kernel-memory", "", "memory.kernel", "only with cgroup v1, so an error", true, func(r *specs.LinuxResources, n int64) { r.Memory.Kernel = &n }},
		{"kernel-memory-tcp", "", "memory.kernelTCP", "only with cgroup v1, so an error", true, func(r *specs.LinuxResources, n int64) { r.Memory.KernelTCP = &n }},
		{"cpu-period", "", "cpu.period", "period of the quota in microseconds", false, func(r *specs.LinuxResources, n int64) { r.CPU.Period = unsigned(n) }},
		{"cpu-quota", "", "cpu.quota", "CPU time in a period, in microseconds; -1 lifts the limit", false, func(r *specs.LinuxResources, n int64) { r.CPU.Quota = &n }},
		{"cpu-burst", "", "cpu.burst", "CPU time saved from earlier periods, in microseconds", false, func(r *specs.LinuxResources, n int64) { r.CPU.Burst = unsigned(n) }},
		{"cpu-share", "", "cpu.shares", "share of the CPUs, 2 to 262144", false, func(r *specs.LinuxResources, n int64) { r.CPU.Shares = unsigned(n) }},
		{"cpu-idle", "", "cpu.idle", "1: run only where nobody else wants to", false, func(r *specs.LinuxResources, n int64) { r.CPU.Idle = &n }},
		{"cpu-rt-period", "", "cpu.realtimePeriod", "only with cgroup v1, so an error", false, func(r *specs.LinuxResources, n int64) { r.CPU.RealtimePeriod = unsigned(n) }},
		{"cpu-rt-runtime", "", "cpu.realtimeRuntime", "only with cgroup v1, so an error", false, func(r *specs.LinuxResources, n int64) { r.CPU.RealtimeRuntime = &n }},
		{"pids-limit", "", "pids", "processes and threads; -1 lifts the limit", false, func(r *specs.LinuxResources, n int64) { r.Pids.Limit = &n }},
		{"blkio-weight", "", "blockIO.weight", "weight for input and output, 10 to 1000", false, func(r *specs.LinuxResources, n int64) { r.BlockIO.Weight = weight(n) }},
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
	resources, cpus, cpusetCPUs, cpusetMems string
	schemas                                 [2]string
	numbers                                 map[string]*string
	typed                                   *pflag.FlagSet
}

func newUpdateCommand(o *options) *cobra.Command {
	f := &updateFlags{numbers: map[string]*string{}}
	c := &cobra.Command{
		Use:   "update [-r FILE|-] ID",
		Short: "Change the limits of a running container",
		Long: `Change the limits of a running container. What no flag names stays; without any flag
nothing is changed.`,
		Args: o.oneID("update"),
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
			return f.inFlags(r.Update(ctx, args[0], res), res)
		}),
	}
	c.Flags().AddFlagSet(updateFlagSet(f))
	return c
}

func updateFlagSet(f *updateFlags) *pflag.FlagSet {
	flags := pflag.NewFlagSet("update", pflag.ContinueOnError)
	f.typed = flags
	flags.StringVarP(&f.resources, "resources", "r", "", "file with linux.resources as config.json has it, or - for standard input; the other flags but those of resctrl are then ignored")
	flags.StringVar(&f.cpus, "cpus", "", "how many CPUs' time at most, as 1.5: a quota for the period; -1 or 0 lifts the limit")
	flags.StringVar(&f.cpusetCPUs, "cpuset-cpus", "", "CPUs to use, as 0-3,7")
	flags.StringVar(&f.cpusetMems, "cpuset-mems", "", "memory nodes to use")
	flags.StringVar(&f.schemas[0], "l3-cache-schema", "", "cache of the container's own class of resctrl, as L3:0=f")
	flags.StringVar(&f.schemas[1], "mem-bw-schema", "", "memory bandwidth of that class, as MB:0=50")
	for _, l := range numberFlags() {
		f.numbers[l.name] = flags.StringP(l.name, l.short, "", l.help)
	}
	flags.StringVarP(f.numbers["cpu-share"], "cpu-shares", "c", "", "the same as --cpu-share")
	return flags
}

// read makes the update: from the file, or from the flags.
func (f *updateFlags) read() (res *specs.LinuxResources, err error) {
	f.typed.VisitAll(func(g *pflag.Flag) {
		if g.Changed && g.Value.String() == "" { // as by --memory=$UNSET
			err = fmt.Errorf("--%s is empty: want a value, or leave it out", g.Name)
		}
	})
	if err != nil {
		return nil, err
	}
	if f.resources == "" {
		return f.fromFlags()
	}
	text, err := readInput(f.resources)
	if err != nil {
		return nil, err
	}
	res, err = bundle.DecodeResources(text)
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
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{Cpus: f.cpusetCPUs, Mems: f.cpusetMems},
		Pids: &specs.LinuxPids{}, BlockIO: &specs.LinuxBlockIO{}}
	for _, l := range numberFlags() {
		text := *f.numbers[l.name]
		if text == "" {
			continue
		}
		n, err := number(text, l.size)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", l.name, err)
		}
		if want := outside(l.name, n); want != "" {
			return nil, fmt.Errorf("--%s: %d is out of range: want %s", l.name, n, want)
		}
		l.set(r, n)
	}
	if err := f.setCPUs(r.CPU); err != nil {
		return nil, err
	}
	return withoutEmpty(r), nil
}

// setCPUs sets what --cpus says in another way than the other flags of CPU time.
func (f *updateFlags) setCPUs(c *specs.LinuxCPU) error {
	quota, period := int64(-1), uint64(0)
	var err error
	switch {
	case f.cpus == "":
		return nil
	case c.Quota != nil || c.Period != nil:
		return errors.New("--cpus says a quota and its period: leave out --cpu-quota and --cpu-period")
	case f.cpus != "0" && f.cpus != "-1":
		quota, period, err = runflags.CPUs(f.cpus)
	}
	c.Quota = &quota
	if period != 0 {
		c.Period = &period
	}
	return err
}

// inFlags has an error speak of the flag in place of what it sets.
func (f *updateFlags) inFlags(err error, res *specs.LinuxResources) error {
	e, ok := err.(*fault.Error)
	switch {
	case !ok || f.resources != "":
		return err
	case e.Place == "":
		return ofLimits(err, res, f.flagOf)
	}
	flag := f.flagOf(e.Place)
	if flag == "" {
		return err
	}
	c := *e
	c.File, c.Place = "", flag
	return &c
}

// flagOf is the flag that set what stands at a place in config.json, with its value; empty
// where none was typed.
func (f *updateFlags) flagOf(place string) string {
	place = strings.TrimPrefix(place, "linux.resources.")
	typed := []struct{ place, flag, value string }{
		{"cpu.cpus", "cpuset-cpus", f.cpusetCPUs}, {"cpu.mems", "cpuset-mems", f.cpusetMems}, {"cpu.quota", "cpus", f.cpus}, {"cpu.period", "cpus", f.cpus},
	}
	for _, l := range numberFlags() {
		typed = append(typed, struct{ place, flag, value string }{l.place, l.name, *f.numbers[l.name]})
	}
	for _, t := range typed {
		if t.value != "" && within(place, t.place) {
			return "--" + t.flag + " " + t.value
		}
	}
	return ""
}

// outside keeps numbers out of fields that would turn them into others: it says what is
// wanted in their place.
func outside(name string, n int64) (want string) {
	switch {
	case name == "blkio-weight" && n != 0 && (n < 10 || n > 1000):
		return "10 to 1000"
	case slices.Contains([]string{"cpu-period", "cpu-burst", "cpu-share", "cpu-rt-period"}, name) && n < 0:
		return "0 or more"
	case n < -1:
		return "0 or more, or -1 for no limit"
	}
	return ""
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
