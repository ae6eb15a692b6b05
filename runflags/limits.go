package runflags

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/process"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// wantSize says what a size is.
const wantSize = "want bytes, or a number with b, k, m, g, t or p, as 512m"

// Size reads a number of bytes, with a binary unit or without: 512m, 1.5GiB.
func Size(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	unit := strings.TrimLeft(text, "0123456789.")
	n, err := strconv.ParseFloat(text[:len(text)-len(unit)], 64)
	factor := unitFactor(strings.ToLower(unit))
	if err != nil || factor == 0 || n*factor >= 1<<62 {
		return 0, fmt.Errorf("%q is not a size: want bytes, or a number with b, k, m, g, t or p", text)
	}
	return int64(n * factor), nil
}

// unitFactor is 0 for what is no unit: k, kb and kib are all 1024.
func unitFactor(unit string) float64 {
	letter := unit
	if len(unit) > 1 {
		letter = strings.TrimSuffix(strings.TrimSuffix(unit, "b"), "i")
	}
	i := strings.Index("bkmgtp", letter)
	if len(letter) != 1 || i < 0 {
		return 0
	}
	return math.Pow(1024, float64(i))
}

// size reads a flag's size, of at least 1.
func size(flag, text string) (int64, error) {
	n, err := Size(text)
	switch {
	case err != nil:
		return 0, wrong(flag, text, "it is not a size: "+wantSize)
	case n <= 0:
		return 0, wrong(flag, text, "want more than 0 bytes")
	}
	return n, nil
}

// resources are the config's limits.
func (c *config) resources() *specs.LinuxResources {
	if c.Linux.Resources == nil {
		c.Linux.Resources = &specs.LinuxResources{}
	}
	return c.Linux.Resources
}

func (c *config) memoryLimits() *specs.LinuxMemory {
	r := c.resources()
	if r.Memory == nil {
		r.Memory = &specs.LinuxMemory{}
	}
	return r.Memory
}

func (c *config) cpuLimits() *specs.LinuxCPU {
	r := c.resources()
	if r.CPU == nil {
		r.CPU = &specs.LinuxCPU{}
	}
	return r.CPU
}

// setMemory limits swap too, to as much again: else a program with too much memory
// would fill the swap before anything ended it. That is docker's and podman's rule.
func (c *config) setMemory(values []string) error {
	n, err := size("memory", last(values))
	if err != nil {
		return err
	}
	c.memory = n
	m := c.memoryLimits()
	m.Limit = &n
	if c.host.Swap && n <= math.MaxInt64/2 {
		both := 2 * n
		m.Swap = &both
	}
	return nil
}

func (c *config) setMemorySwap(values []string) error {
	const flag = "memory-swap"
	text := last(values)
	if text == "-1" {
		unlimited := int64(-1)
		c.memoryLimits().Swap = &unlimited
		return nil
	}
	n, err := size(flag, text)
	switch {
	case err != nil:
		return err
	case c.memory == 0:
		return wrong(flag, text, "it is memory and swap together, so it needs --memory")
	case n < c.memory:
		return wrong(flag, text, "it is memory and swap together, so want at least what --memory says")
	}
	c.memoryLimits().Swap = &n
	return nil
}

func (c *config) setMemoryReservation(values []string) error {
	n, err := size("memory-reservation", last(values))
	if err != nil {
		return err
	}
	if c.memory > 0 && n > c.memory {
		return wrong("memory-reservation", last(values), "want at most what --memory says")
	}
	c.memoryLimits().Reservation = &n
	return nil
}

// period is that of CPU quotas, in microseconds, and leastQuota the kernel's least.
const period, leastQuota = 100_000, 1000

func (c *config) setCPUs(values []string) error {
	quota, each, err := CPUs(last(values))
	if err != nil {
		return err
	}
	cpu := c.cpuLimits()
	cpu.Quota, cpu.Period = &quota, &each
	return nil
}

// CPUs reads --cpus: the quota of CPU time, and the period that it is for, in
// microseconds.
func CPUs(text string) (quota int64, each uint64, err error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0 && n < 1<<20) {
		return 0, 0, wrong("cpus", text, "want a number of CPUs more than 0, as 2 or 0.5")
	}
	quota = int64(math.Round(n * period))
	if quota < leastQuota {
		return 0, 0, wrong("cpus", text, "the kernel gives no less than 0.01")
	}
	return quota, period, nil
}

func (c *config) setCPUShares(values []string) error {
	text := last(values)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < 2 || n > 262144 {
		return wrong("cpu-shares", text, "want a whole number from 2 to 262144; 1024 is what others have")
	}
	c.cpuLimits().Shares = &n
	return nil
}

func (c *config) setCPUSet(values []string) error {
	if !isSet(last(values)) {
		return wrong("cpuset-cpus", last(values), "want CPUs, as 0-3,7")
	}
	c.cpuLimits().Cpus = last(values)
	return nil
}

func (c *config) setMemorySet(values []string) error {
	if !isSet(last(values)) {
		return wrong("cpuset-mems", last(values), "want memory nodes, as 0-1")
	}
	c.cpuLimits().Mems = last(values)
	return nil
}

// isSet reports whether a text is numbers and ranges with commas between.
func isSet(text string) bool {
	for _, part := range strings.Split(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(from, 10, 16)
		if err != nil {
			return false
		}
		if end, err := strconv.ParseUint(to, 10, 16); isRange && (err != nil || end < first) {
			return false
		}
	}
	return true
}

// mostPids is the kernel's PID_MAX_LIMIT, above which pids.max cannot be.
const mostPids = 1 << 22

// setPids: 0 and -1 are docker's words for no limit, which is what there is without.
func (c *config) setPids(values []string) error {
	text := last(values)
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n < -1:
		return wrong("pids-limit", text, "want a whole number of processes, or -1 for no limit")
	case n > mostPids:
		return wrong("pids-limit", text, "the kernel counts to "+strconv.Itoa(mostPids)+": -1 is for no limit")
	case n > 0:
		c.resources().Pids = &specs.LinuxPids{Limit: &n}
	}
	return nil
}

// setUlimits: of the same limit, the last counts.
func (c *config) setUlimits(values []string) error {
	for _, text := range values {
		limit, err := parseUlimit(text)
		if err != nil {
			return err
		}
		c.addLimit(limit)
	}
	return nil
}

func (c *config) addLimit(limit specs.POSIXRlimit) {
	for i := range c.Process.Rlimits {
		if c.Process.Rlimits[i].Type == limit.Type {
			c.Process.Rlimits[i] = limit
			return
		}
	}
	c.Process.Rlimits = append(c.Process.Rlimits, limit)
}

func parseUlimit(text string) (specs.POSIXRlimit, error) {
	name, amounts, _ := strings.Cut(text, "=")
	softText, hardText, two := strings.Cut(amounts, ":")
	limit := specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name)}
	soft, ok := amount(softText)
	hard, ok2 := soft, ok
	if two {
		hard, ok2 = amount(hardText)
	}
	limit.Soft, limit.Hard = soft, hard
	_, known := process.Resource(limit.Type)
	switch {
	case amounts == "" || !ok || !ok2:
		return limit, wrong("ulimit", text, "want NAME=SOFT[:HARD] with numbers, or -1 for unlimited, as nofile=1024:4096")
	case !known:
		return limit, wrong("ulimit", text, "unknown limit: want core, cpu, data, fsize, memlock, nofile, nproc, stack or another of getrlimit(2)")
	case soft > hard:
		return limit, wrong("ulimit", text, "the soft limit is above the hard one")
	}
	return limit, nil
}

// amount reads a number, or -1 or unlimited for RLIM_INFINITY.
func amount(text string) (uint64, bool) {
	if text == "-1" || text == "unlimited" {
		return math.MaxUint64, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

func (c *config) setShmSize(values []string) error {
	n, err := size("shm-size", last(values))
	if err != nil {
		return err
	}
	m := c.mountAt("/dev/shm")
	if m == nil || m.Type != "tmpfs" {
		return wrong("shm-size", last(values), "the container has no /dev/shm of its own")
	}
	m.Options = append(m.Options[:len(m.Options):len(m.Options)], "size="+strconv.FormatInt(n, 10)) // the last counts
	return nil
}
