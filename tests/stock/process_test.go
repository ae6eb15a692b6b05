package stock

import (
	"fmt"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/tests/guest"
	"golang.org/x/sys/unix"
)

// Each policy of sched(7), with the real-time ones for root.
func TestScheduler(t *testing.T) {
	need(t, "real-time scheduling beside the controller cpu")
	const stat = "awk '{ print $41, $40, $19 }' /proc/self/stat" // policy, priority, nice
	for want, scheduler := range map[string]object{
		fmt.Sprint(unix.SCHED_FIFO, " 7 0"):     {"policy": "SCHED_FIFO", "priority": 7},
		fmt.Sprint(unix.SCHED_RR, " 99 0"):      {"policy": "SCHED_RR", "priority": 99, "flags": []string{"SCHED_FLAG_RESET_ON_FORK"}},
		fmt.Sprint(unix.SCHED_BATCH, " 0 5"):    {"policy": "SCHED_BATCH", "nice": 5},
		fmt.Sprint(unix.SCHED_IDLE, " 0 0"):     {"policy": "SCHED_IDLE"},
		fmt.Sprint(unix.SCHED_DEADLINE, " 0 0"): {"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 5000000, "period": 10000000},
		fmt.Sprint(unix.SCHED_NORMAL, " 0 -3"):  {"policy": "SCHED_OTHER", "nice": -3},
		fmt.Sprint(unix.SCHED_NORMAL, " 0 12"):  {"policy": "SCHED_OTHER", "nice": 12},
	} {
		// awk is the shell's own process, so that RESET_ON_FORK does not matter.
		newContainer(t, false, "sh", "-c", "exec "+stat).set("process.scheduler", scheduler).prints(want)
	}
	newContainer(t, true, "true").set("process.scheduler", object{"policy": "SCHED_FIFO", "priority": 7}).
		refuses("set the scheduling policy SCHED_FIFO (process.scheduler)", "EPERM")
}

// The memory comes from the nodes that the policy names; a node that is not there is an error.
func TestMemoryPolicy(t *testing.T) {
	need(t, "two memory nodes")
	for want, policy := range map[string]object{
		"bind:1":                  {"mode": "MPOL_BIND", "nodes": "1"},
		"bind=static:0":           {"mode": "MPOL_BIND", "nodes": "0", "flags": []string{"MPOL_F_STATIC_NODES"}},
		"interleave:0-1":          {"mode": "MPOL_INTERLEAVE", "nodes": "0,1"},
		"prefer:1":                {"mode": "MPOL_PREFERRED", "nodes": "1"},
		"prefer (many):0-1":       {"mode": "MPOL_PREFERRED_MANY", "nodes": "0-1"},
		"weighted interleave:0-1": {"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0-1"},
		"local":                   {"mode": "MPOL_LOCAL", "nodes": ""},
	} {
		dev := want != "bind:1" // one is root's
		out, err := newContainer(t, dev, "cat", "/proc/self/numa_maps").set("linux.memoryPolicy", policy).run()
		if err != nil || !strings.Contains(out, " "+want+" ") {
			t.Errorf("%s: %v: %s", want, err, out)
		}
	}
	newContainer(t, true, "true").set("linux.memoryPolicy", object{"mode": "MPOL_BIND", "nodes": "5"}).
		refuses("set the memory policy (linux.memoryPolicy)", "EINVAL")
}

// The clocks of a time namespace are shifted by what config.json says.
func TestTimeOffsets(t *testing.T) {
	need(t, "time namespaces")
	callers(t, func(t *testing.T, dev bool) {
		c := newContainer(t, dev, "/probe", "clocks").add("linux.namespaces", object{"type": "time"}).
			set("linux.timeOffsets", object{"monotonic": object{"secs": 86400}, "boottime": object{"secs": 864000, "nanosecs": 5}})
		before := []int64{clock(unix.CLOCK_MONOTONIC) + 86400, clock(unix.CLOCK_BOOTTIME) + 864000}
		out, err := c.homerun("run", "--bundle", c.dir, c.id)
		var monotonic, boottime int64
		if _, scanErr := fmt.Sscan(out[strings.LastIndex(out, "\n")+1:], &monotonic, &boottime); err != nil || scanErr != nil {
			t.Fatal(err, scanErr, out)
		}
		for i, got := range []int64{monotonic, boottime} {
			if late := got - before[i]; late < 0 || late > int64(guest.CallLimit.Seconds()) {
				t.Errorf("clock %d is %d s late", i, late)
			}
		}
	})
}

// homerun uses no Landlock; a program in a container can, under the filter that `homerun spec` writes.
func TestLandlock(t *testing.T) {
	need(t, "Landlock")
	callers(t, func(t *testing.T, dev bool) { newContainer(t, dev, "/probe", "landlock").prints("true") })
}

// What doctor finds missing on a stock kernel is nothing.
func TestDoctor(t *testing.T) {
	need(t, "all features")
	prepare(t)
	guest.Must(t, "install", "../../bin/homerun-doctor", "../../bin/homerun-net", "/usr/local/bin")
	for _, run := range []func() (string, error){
		func() (string, error) { return guest.Answer(homerun, "doctor") },
		func() (string, error) { return commandOfDev(t, homerun, "doctor") },
	} {
		out, err := run()
		if err != nil || !strings.HasSuffix(out, " 0 degraded, 0 missing") {
			t.Errorf("%v: %s", err, out)
		}
	}
}
