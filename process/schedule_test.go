package process

import (
	"errors"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSchedule(t *testing.T) {
	tests := []struct {
		name    string
		process specs.Process
		want    []string
	}{
		{"nothing", specs.Process{}, nil},
		{"batch", specs.Process{Scheduler: &specs.Scheduler{Policy: specs.SchedBatch, Nice: -3}},
			[]string{"sched_setattr(0, {size=56, sched_policy=SCHED_BATCH, sched_flags=0, sched_nice=-3, sched_priority=0, " +
				"sched_runtime=0, sched_deadline=0, sched_period=0, sched_util_min=0, sched_util_max=0}, 0)"}},
		{"fifo", specs.Process{Scheduler: &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 99, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}},
			[]string{"sched_setattr(0, {size=56, sched_policy=SCHED_FIFO, sched_flags=SCHED_FLAG_RESET_ON_FORK, sched_nice=0, sched_priority=99, " +
				"sched_runtime=0, sched_deadline=0, sched_period=0, sched_util_min=0, sched_util_max=0}, 0)"}},
		{"idle disk", specs.Process{IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE, Priority: 7}},
			[]string{"ioprio_set(IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 7))"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, lines(t, func(b *plan.Builder) {
				if err := Schedule(b, &test.process); err != nil {
					t.Error(err)
				}
			}), test.want...)
		})
	}
}

func TestScheduleErrors(t *testing.T) {
	io := func(class specs.IOPriorityClass, priority int) specs.Process {
		return specs.Process{IOPriority: &specs.LinuxIOPriority{Class: class, Priority: priority}}
	}
	cpu := func(s specs.Scheduler) specs.Process { return specs.Process{Scheduler: &s} }
	tests := []struct {
		process specs.Process
		pointer string
	}{
		{cpu(specs.Scheduler{}), "process.scheduler.policy"},
		{cpu(specs.Scheduler{Policy: "SCHED_FAST"}), "process.scheduler.policy"},
		{cpu(specs.Scheduler{Policy: specs.SchedOther, Nice: 20}), "process.scheduler.nice"},
		{cpu(specs.Scheduler{Policy: specs.SchedOther, Nice: -21}), "process.scheduler.nice"},
		{cpu(specs.Scheduler{Policy: specs.SchedFIFO, Nice: 20, Priority: 1}), "process.scheduler.nice"},
		{cpu(specs.Scheduler{Policy: specs.SchedFIFO}), "process.scheduler.priority"},
		{cpu(specs.Scheduler{Policy: specs.SchedRR, Priority: 100}), "process.scheduler.priority"},
		{cpu(specs.Scheduler{Policy: specs.SchedBatch, Priority: 1}), "process.scheduler.priority"},
		{cpu(specs.Scheduler{Policy: specs.SchedIdle, Runtime: 1}), "process.scheduler"},
		{cpu(specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 2, Deadline: 1}), "process.scheduler"},
		{cpu(specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 1, Deadline: 3, Period: 2}), "process.scheduler"},
		{cpu(specs.Scheduler{Policy: specs.SchedDeadline, Deadline: 3}), "process.scheduler"},
		{cpu(specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagReclaim, "X"}}), "process.scheduler.flags[1]"},
		{io("IOPRIO_CLASS_X", 0), "process.ioPriority.class"},
		{io(specs.IOPRIO_CLASS_BE, 8), "process.ioPriority.priority"},
		{io(specs.IOPRIO_CLASS_BE, -1), "process.ioPriority.priority"},
	}
	for _, test := range tests {
		err := Schedule(plan.NewBuilder(3), &test.process)
		var e *fault.Error
		if !errors.As(err, &e) || e.Place != test.pointer {
			t.Errorf("%+v: got %v, want an error about %s", test.process, err, test.pointer)
		}
	}
}

// TestNiceWithAnyPolicy: other runtimes take it, and the kernel ignores it.
func TestNiceWithAnyPolicy(t *testing.T) {
	for _, s := range []specs.Scheduler{
		{Policy: specs.SchedDeadline, Runtime: 1, Deadline: 2, Period: 2}, {Policy: specs.SchedFIFO, Priority: 1},
		{Policy: specs.SchedRR, Priority: 1}, {Policy: specs.SchedIdle}, {Policy: specs.SchedISO},
	} {
		s.Nice = 5
		if err := Schedule(plan.NewBuilder(3), &specs.Process{Scheduler: &s}); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestDeadlineLimits(t *testing.T) {
	for _, s := range []specs.Scheduler{{Runtime: 1, Deadline: 1}, {Runtime: 1, Deadline: 2, Period: 2}} {
		s.Policy = specs.SchedDeadline
		if err := Schedule(plan.NewBuilder(3), &specs.Process{Scheduler: &s}); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	tests := map[string]string{"0": "[0]", "0-3,7": "[0-3 7]", " 5 , 2-3": "[2-3 5]", "63,64": "[63-64]", "8191": "[8191]", "1-1": "[1]"}
	for list, want := range tests {
		mask, why := parseCPUs(list)
		if why != "" || len(mask)%8 != 0 {
			t.Errorf("%q: %s; %d bytes", list, why, len(mask))
			continue
		}
		p := &specs.Process{ExecCPUAffinity: &specs.CPUAffinity{Initial: list}}
		got := lines(t, func(b *plan.Builder) {
			if ok, err := CPUs(b, p, "initial"); !ok || err != nil {
				t.Errorf("%q: %t, %v", list, ok, err)
			}
		})
		if len(got) != 1 || !strings.HasSuffix(got[0], ", "+want+")") {
			t.Errorf("%q: got %s, want %s", list, got, want)
		}
	}
	for _, list := range []string{"", "a", "3-1", "1-", "-1", "1,,2", "8192", "0-4294967296", "1-2-3", "0x1"} {
		if mask, why := parseCPUs(list); why == "" {
			t.Errorf("%q passes as %x", list, mask)
		}
	}
}

func TestCPUsOfWhichThereAreNone(t *testing.T) {
	for _, a := range []*specs.CPUAffinity{nil, {}, {Initial: "1"}} {
		expect(t, lines(t, func(b *plan.Builder) {
			if ok, err := CPUs(b, &specs.Process{ExecCPUAffinity: a}, "final"); ok || err != nil {
				t.Errorf("%+v: %t, %v", a, ok, err)
			}
		}))
	}
	_, err := CPUs(plan.NewBuilder(3), &specs.Process{ExecCPUAffinity: &specs.CPUAffinity{Final: "x"}}, "final")
	var e *fault.Error
	if !errors.As(err, &e) || e.Place != "process.execCPUAffinity.final" {
		t.Error(err)
	}
}
