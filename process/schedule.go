package process

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Schedule writes the scheduling policy and the I/O priority. It comes after
// the limits, since RLIMIT_NICE and RLIMIT_RTPRIO may allow what capabilities
// do not, and before capabilities are dropped.
func Schedule(b *plan.Builder, p *specs.Process) error {
	if err := scheduler(b, p.Scheduler); err != nil {
		return err
	}
	return ioPriority(b, p.IOPriority)
}

// invalid is the error for a value of process.scheduler or its like.
func invalid(pointer, what, why string, args ...any) error {
	return &fault.Error{Place: pointer, What: what, Why: fmt.Sprintf(why, args...)}
}

const setScheduler = "set the scheduling policy"

// scheduler follows config.md, "scheduler": what a policy does not know must
// not be set, or it would be ignored without a word.
func scheduler(b *plan.Builder, s *specs.Scheduler) error {
	if s == nil {
		return nil
	}
	policy, ok := schedulingPolicy(s.Policy)
	if !ok {
		return invalid("process.scheduler.policy", setScheduler, "unknown policy %q", s.Policy)
	}
	if err := checkScheduler(s, policy); err != nil {
		return err
	}
	flags, err := schedulingFlags(s.Flags)
	if err != nil {
		return err
	}
	b.At("process.scheduler", setScheduler+" "+string(s.Policy))
	b.Do(plan.SchedSetattr{Policy: policy, Flags: flags, Nice: s.Nice, Priority: s.Priority,
		Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period})
	return nil
}

// checkScheduler holds the values against the policy: sched(7). A nice value is
// taken with every policy; the kernel uses it with SCHED_OTHER and SCHED_BATCH.
func checkScheduler(s *specs.Scheduler, policy int) error {
	realtime := policy == unix.SCHED_FIFO || policy == unix.SCHED_RR
	deadline := policy == unix.SCHED_DEADLINE
	switch {
	case s.Nice < -20 || s.Nice > 19:
		return invalid("process.scheduler.nice", setScheduler, "expected -20 to 19, found %d", s.Nice)
	case realtime && (s.Priority < 1 || s.Priority > 99):
		return invalid("process.scheduler.priority", setScheduler, "expected 1 to 99 for %s, found %d", s.Policy, s.Priority)
	case !realtime && s.Priority != 0:
		return invalid("process.scheduler.priority", setScheduler, "%s has no priority", s.Policy)
	case !deadline && s.Runtime|s.Deadline|s.Period != 0:
		return invalid("process.scheduler", setScheduler, "%s has no runtime, deadline or period", s.Policy)
	case deadline && (s.Runtime == 0 || s.Runtime > s.Deadline || s.Period != 0 && s.Deadline > s.Period):
		return invalid("process.scheduler", setScheduler, "expected 0 < runtime <= deadline <= period, found %d, %d and %d",
			s.Runtime, s.Deadline, s.Period)
	}
	return nil
}

func schedulingPolicy(p specs.LinuxSchedulerPolicy) (int, bool) {
	switch p {
	case specs.SchedOther:
		return unix.SCHED_NORMAL, true
	case specs.SchedFIFO:
		return unix.SCHED_FIFO, true
	case specs.SchedRR:
		return unix.SCHED_RR, true
	case specs.SchedBatch:
		return unix.SCHED_BATCH, true
	case specs.SchedISO:
		return plan.SchedISO, true
	case specs.SchedIdle:
		return unix.SCHED_IDLE, true
	case specs.SchedDeadline:
		return unix.SCHED_DEADLINE, true
	}
	return 0, false
}

func schedulingFlags(list []specs.LinuxSchedulerFlag) (int, error) {
	flags := 0
	for i, name := range list {
		f := schedulingFlag(name)
		if f == 0 {
			return 0, invalid("process.scheduler.flags["+strconv.Itoa(i)+"]", setScheduler, "unknown flag %q", name)
		}
		flags |= f
	}
	return flags, nil
}

func schedulingFlag(name specs.LinuxSchedulerFlag) int {
	switch name {
	case specs.SchedFlagResetOnFork:
		return unix.SCHED_FLAG_RESET_ON_FORK
	case specs.SchedFlagReclaim:
		return unix.SCHED_FLAG_RECLAIM
	case specs.SchedFlagDLOverrun:
		return unix.SCHED_FLAG_DL_OVERRUN
	case specs.SchedFlagKeepPolicy:
		return unix.SCHED_FLAG_KEEP_POLICY
	case specs.SchedFlagKeepParams:
		return unix.SCHED_FLAG_KEEP_PARAMS
	case specs.SchedFlagUtilClampMin:
		return unix.SCHED_FLAG_UTIL_CLAMP_MIN
	case specs.SchedFlagUtilClampMax:
		return unix.SCHED_FLAG_UTIL_CLAMP_MAX
	}
	return 0
}

const setIOPriority = "set the I/O priority"

func ioPriority(b *plan.Builder, p *specs.LinuxIOPriority) error {
	if p == nil {
		return nil
	}
	class := 0
	switch p.Class {
	case specs.IOPRIO_CLASS_RT:
		class = 1
	case specs.IOPRIO_CLASS_BE:
		class = 2
	case specs.IOPRIO_CLASS_IDLE:
		class = 3
	default:
		return invalid("process.ioPriority.class", setIOPriority, "unknown class %q", p.Class)
	}
	if p.Priority < 0 || p.Priority > 7 {
		return invalid("process.ioPriority.priority", setIOPriority, "expected 0 to 7, found %d", p.Priority)
	}
	b.At("process.ioPriority", setIOPriority)
	b.Do(plan.IoprioSet{Which: plan.IoprioWhoProcess, Class: class, Priority: p.Priority})
	return nil
}

// maxCPUs is more than any kernel is built for (x86: 8192), so that machines
// with more than the 1024 CPUs of glibc's cpu_set_t are served.
const maxCPUs = 8192

// AnyCPU lets the process run wherever its cgroup does, whatever the runtime's
// own affinity is. The kernel keeps of the mask what the cpuset has:
// sched_setaffinity(2). A kernel or an outer seccomp filter without the call
// changes nothing.
func AnyCPU(b *plan.Builder) {
	b.At("default", "run on all CPUs of the cgroup")
	mask := make([]byte, maxCPUs/8)
	for i := range mask {
		mask[i] = 0xff
	}
	b.Try(plan.SchedSetaffinity{Mask: mask}, plan.Ignore(unix.ENOSYS, unix.EPERM, unix.EINVAL)...)
}

// CPUs writes an affinity of process.execCPUAffinity: field is "initial" or
// "final". It reports whether there was one.
func CPUs(b *plan.Builder, p *specs.Process, field string) (bool, error) {
	if p.ExecCPUAffinity == nil {
		return false, nil
	}
	list := p.ExecCPUAffinity.Initial
	if field == "final" {
		list = p.ExecCPUAffinity.Final
	}
	if list == "" {
		return false, nil
	}
	pointer, what := "process.execCPUAffinity."+field, "run on the CPUs "+list
	mask, why := parseCPUs(list)
	if why != "" {
		return false, invalid(pointer, what, "%s", why)
	}
	b.At(pointer, what)
	b.Do(plan.SchedSetaffinity{Mask: mask})
	return true, nil
}

// parseCPUs reads a list such as "0-3,7": cpuset(7), "List format".
func parseCPUs(list string) (mask []byte, why string) {
	for _, part := range strings.Split(list, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		first, err1 := strconv.ParseUint(low, 10, 32)
		last, err2 := strconv.ParseUint(high, 10, 32)
		if err1 != nil || err2 != nil || first > last {
			return nil, fmt.Sprintf("expected CPUs as in \"0-3,7\", found %q", part)
		}
		if last >= maxCPUs {
			return nil, fmt.Sprintf("CPU %d is beyond the last one, %d", last, maxCPUs-1)
		}
		for n := first; n <= last; n++ {
			for uint64(len(mask)) <= n/8 {
				mask = append(mask, 0, 0, 0, 0, 0, 0, 0, 0) // the kernel takes whole words
			}
			mask[n/8] |= 1 << (n % 8)
		}
	}
	return mask, ""
}
