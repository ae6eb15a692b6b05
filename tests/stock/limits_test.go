package stock

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
)

// managers are root's cgroup without systemd, root's scope, and a scope of an ordinary user's.
func managers(t *testing.T, test func(t *testing.T, box func(args ...string) *container)) {
	t.Run("cgroupfs", func(t *testing.T) {
		test(t, func(args ...string) *container { return newContainer(t, false, args...).cgroupfs() })
	})
	callers(t, func(t *testing.T, dev bool) {
		test(t, func(args ...string) *container { return newContainer(t, dev, args...) })
	})
}

// holds wants files of the container's cgroup to be so.
func (c *container) holds(when string, files map[string]string) {
	c.t.Helper()
	group := c.group()
	for name, want := range files {
		if got := read(c.t, filepath.Join(group, name)); got != want {
			c.t.Errorf("%s: %s is %q, not %q", when, name, got, want)
		}
	}
}

// The program runs on the CPUs and memory nodes that it was given, and later on others.
func TestCPUSet(t *testing.T) {
	need(t, "the controller cpuset, two CPUs and two memory nodes")
	managers(t, func(t *testing.T, box func(args ...string) *container) {
		c := box("sleep", "1000").set("linux.resources.cpu", object{"cpus": "1", "mems": "1"})
		c.start()
		c.holds("started", map[string]string{"cpuset.cpus.effective": "1", "cpuset.mems.effective": "1"})
		const allowed = "sed -n 's/_allowed_list//p' /proc/self/status"
		if got := strings.Fields(c.must("exec", c.id, "sh", "-c", allowed)); strings.Join(got, " ") != "Cpus: 1 Mems: 1" {
			t.Errorf("exec may use %q", got)
		}
		c.must("update", "--cpuset-cpus", "0-1", "--cpuset-mems", "0", c.id)
		c.holds("updated", map[string]string{"cpuset.cpus.effective": "0-1", "cpuset.mems.effective": "0"})
		if got := strings.Fields(c.must("exec", c.id, "sh", "-c", allowed)); strings.Join(got, " ") != "Cpus: 0-1 Mems: 0" {
			t.Errorf("exec may use %q after the update", got)
		}
		if out, err := c.homerun("update", "--cpuset-cpus", "7", c.id); err == nil || !strings.Contains(out, "cpuset.cpus") {
			t.Errorf("update to a CPU that is none: %v: %s", err, out)
		}
		c.holds("update refused", map[string]string{"cpuset.cpus.effective": "0-1", "cpuset.mems.effective": "0"})
	})
}

// A CPU or a node that the machine has not is an error, and no container.
func TestCPUSetNowhere(t *testing.T) {
	need(t, "the controller cpuset")
	managers(t, func(t *testing.T, box func(args ...string) *container) {
		box("true").set("linux.resources.cpu", object{"cpus": "7"}).refuses("linux.resources.cpu.cpus", "cpuset.cpus")
		box("true").set("linux.resources.cpu", object{"mems": "5"}).refuses("linux.resources.cpu.mems", "cpuset.mems")
	})
}

// hugePages has the kernel set aside pages of 2 MiB.
func hugePages(t *testing.T, n int) {
	t.Helper()
	const file = "/proc/sys/vm/nr_hugepages"
	write(t, file, strconv.Itoa(n))
	t.Cleanup(func() { write(t, file, "0") })
	if got := read(t, file); got != strconv.Itoa(n) {
		t.Fatalf("%s of %d huge pages", got, n)
	}
}

// Huge pages beyond the limit cannot be reserved. systemd has no such property: a scope is refused, by name.
func TestHugepages(t *testing.T) {
	need(t, "the controller hugetlb")
	hugePages(t, 4)
	limits := []object{{"pageSize": "2MB", "limit": 4 << 20}}
	c := newContainer(t, false, "/probe", "huge", "2", "3").cgroupfs().set("linux.resources.hugepageLimits", limits)
	c.prints("2: <nil>, 3: cannot allocate memory")
	c = newContainer(t, false, "sleep", "1000").cgroupfs().set("linux.resources.hugepageLimits", limits)
	c.start()
	c.holds("started", map[string]string{"hugetlb.2MB.max": "4194304", "hugetlb.2MB.rsvd.max": "4194304"})
	var event struct {
		Data struct {
			Hugetlb map[string]struct{ Usage, Max, Failcnt *uint64 }
		}
	}
	if err := json.Unmarshal([]byte(c.must("events", "--stats", c.id)), &event); err != nil {
		t.Fatal(err)
	}
	if _, ok := event.Data.Hugetlb["2MB"]; !ok {
		t.Errorf("events knows nothing of huge pages: %+v", event.Data)
	}
	callers(t, func(t *testing.T, dev bool) {
		c := newContainer(t, dev, "true").set("linux.resources.hugepageLimits", limits)
		c.refuses("controller hugetlb is not available", "Delegate= does not help")
	})
	newContainer(t, false, "true").cgroupfs().set("linux.resources.hugepageLimits", []object{{"pageSize": "3MB", "limit": 1}}).
		refuses("linux.resources.hugepageLimits[0]")
}

// disk is the machine's, by its numbers and as a block device of config.json.
func disk(t *testing.T) (numbers string, device object) {
	t.Helper()
	numbers = read(t, "/sys/class/block/vda/dev")
	device = object{}
	for i, text := range strings.Split(numbers, ":") {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		device[[]string{"major", "minor"}[i]] = n
	}
	return numbers, device
}

// What goes to a disk beyond the rate has to wait, for root and for people.
func TestIORate(t *testing.T) {
	need(t, "a real disk")
	numbers, device := disk(t)
	device["rate"] = 1 << 20
	managers(t, func(t *testing.T, box func(args ...string) *container) {
		c := box("sleep", "1000").set("linux.resources.blockIO", object{"throttleWriteBpsDevice": []object{device}})
		c.start()
		c.holds("started", map[string]string{"io.max": numbers + " rbps=max wbps=1048576 riops=max wiops=max"})
		start := time.Now()
		c.must("exec", c.id, "dd", "if=/dev/zero", "of=/data/"+c.id, "bs=64k", "count=48", "oflag=direct", "conv=fsync")
		if took := time.Since(start); took < 2500*time.Millisecond {
			t.Errorf("3 MiB at 1 MiB/s were written in %v", took)
		}
		if stat := read(t, c.group()+"/io.stat"); !strings.Contains(stat, numbers) {
			t.Errorf("the disk was not written to: %q", stat)
		}
	})
}

// A weight goes to both files, of which each disk's scheduler obeys one. That of a disk goes to its scheduler's alone:
// BFQ's, else iocost's, if there is one.
func TestIOWeight(t *testing.T) {
	need(t, "io.weight and BFQ")
	numbers, device := disk(t)
	device["weight"] = 300
	const scheduler = "/sys/class/block/vda/queue/scheduler"
	before := "none"
	for _, word := range strings.Fields(read(t, scheduler)) {
		if name, ok := strings.CutPrefix(word, "["); ok {
			before = strings.TrimSuffix(name, "]")
		}
	}
	guest.Must(t, "modprobe", "bfq")
	t.Cleanup(func() { write(t, scheduler, before) })
	const cost = "/sys/fs/cgroup/io.cost.qos"
	t.Cleanup(func() { write(t, cost, numbers+" enable=0") })
	weights := func() *container {
		return newContainer(t, false, "sleep", "1000").cgroupfs().
			set("linux.resources.blockIO", object{"weight": 500, "weightDevice": []object{device}})
	}

	write(t, scheduler, "none")
	weights().refuses("linux.resources.blockIO.weightDevice[0]", "io.weight", "the disk has no scheduler with weights")
	write(t, cost, numbers+" enable=1")
	c := weights()
	c.start()
	c.holds("iocost", map[string]string{"io.weight": "default 4950\n" + numbers + " 2930", "io.bfq.weight": "default 500"})
	write(t, cost, numbers+" enable=0")
	write(t, scheduler, "bfq")
	c = weights()
	c.start()
	c.holds("BFQ", map[string]string{"io.weight": "default 4950", "io.bfq.weight": "default 500\n" + numbers + " 300"})
}

// Pressure stall information is in events, for the processor, memory and I/O.
func TestPressure(t *testing.T) {
	need(t, "PSI")
	managers(t, func(t *testing.T, box func(args ...string) *container) {
		c := box("sh", "-c", "while :; do :; done").set("linux.resources.cpu", object{"quota": 10000, "period": 100000})
		c.start()
		type stalls struct{ Some, Full struct{ Total uint64 } }
		var event struct {
			Data struct {
				CPU, Memory, Blkio struct{ PSI *stalls }
			}
		}
		for end := time.Now().Add(guest.CallLimit); ; time.Sleep(time.Second) {
			if err := json.Unmarshal([]byte(c.must("events", "--stats", c.id)), &event); err != nil {
				t.Fatal(err)
			}
			if d := event.Data; d.CPU.PSI == nil || d.Memory.PSI == nil || d.Blkio.PSI == nil {
				t.Fatalf("events has no pressure: %+v", d)
			}
			if event.Data.CPU.PSI.Some.Total > 0 {
				return
			}
			if time.Now().After(end) {
				t.Fatal("a program that gets a tenth of a CPU does not stall")
			}
		}
	})
}

// Files of memory that User-Mode-Linux lacks, and rdma without a device.
func TestOtherControllers(t *testing.T) {
	need(t, "zswap and the controller rdma")
	c := newContainer(t, false, "sleep", "1000").cgroupfs().set("linux.resources.unified", object{"memory.swap.high": "1048576", "memory.zswap.max": "0"})
	c.start()
	c.holds("started", map[string]string{"memory.swap.high": "1048576", "memory.zswap.max": "0"})
	newContainer(t, false, "true").cgroupfs().set("linux.resources.rdma", object{"mlx5_1": object{"hcaHandles": 3}}).
		refuses("linux.resources.rdma", "rdma.max")
}

// All that dev's manager has been given, cpuset too.
func TestDelegatedControllers(t *testing.T) {
	need(t, "the controllers cpuset, cpu and io")
	c := newContainer(t, true, "cat", "/sys/fs/cgroup/cgroup.controllers")
	c.set("linux.resources", object{"cpu": object{"cpus": "0", "shares": 512}, "pids": object{"limit": 20}, "memory": object{"limit": 64 << 20}})
	c.prints("cpuset cpu io memory pids")
}
