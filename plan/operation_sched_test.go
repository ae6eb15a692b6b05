package plan

import "golang.org/x/sys/unix"

func scheduleRows() []row {
	return []row{
		{Getcwd{2}, `getcwd(buffer, 2)`, unix.SYS_GETCWD, []any{[2]byte{}, 2}},
		{SchedSetattr{Policy: unix.SCHED_BATCH, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Nice: -3},
			`sched_setattr(0, {size=56, sched_policy=SCHED_BATCH, sched_flags=SCHED_FLAG_RESET_ON_FORK, sched_nice=-3, ` +
				`sched_priority=0, sched_runtime=0, sched_deadline=0, sched_period=0, sched_util_min=0, sched_util_max=0}, 0)`,
			unix.SYS_SCHED_SETATTR, []any{0, unix.SchedAttr{Size: 56, Policy: unix.SCHED_BATCH, Flags: 1, Nice: -3}, 0}},
		{SchedSetattr{Policy: unix.SCHED_DEADLINE, Runtime: 1 << 33, Deadline: 2, Period: 3},
			`sched_setattr(0, {size=56, sched_policy=SCHED_DEADLINE, sched_flags=0, sched_nice=0, sched_priority=0, ` +
				`sched_runtime=8589934592, sched_deadline=2, sched_period=3, sched_util_min=0, sched_util_max=0}, 0)`,
			unix.SYS_SCHED_SETATTR, []any{0, unix.SchedAttr{Size: 56, Policy: unix.SCHED_DEADLINE, Runtime: 1 << 33, Deadline: 2, Period: 3}, 0}},
		{SchedSetaffinity{[]byte{0b10001111, 0, 1}}, `sched_setaffinity(0, 3, [0-3 7 16])`, unix.SYS_SCHED_SETAFFINITY,
			[]any{0, 3, []byte{0b10001111, 0, 1}}},
		{IoprioSet{IoprioWhoProcess, 2, 7}, `ioprio_set(IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7))`,
			unix.SYS_IOPRIO_SET, []any{IoprioWhoProcess, 0, 2<<13 | 7}},
	}
}
