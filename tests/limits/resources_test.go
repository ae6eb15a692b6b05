package limits

import (
	"os"
	"path"
	"strings"
	"testing"
)

// resource is one limit: the cgroup's file and the unit's property.
type resource struct {
	file, value string
	property    string // of systemctl show; "" where systemd knows none
}

const everything = `{
	"memory": {"limit": 67108864, "reservation": 33554432, "swap": 134217728},
	"pids": {"limit": 50},
	"cpu": {"shares": 2048, "quota": 50000, "period": 100000, "burst": 10000},
	"blockIO": {"throttleReadBpsDevice": [{"major": 98, "minor": 0, "rate": 1048576}]},
	"unified": {"memory.high": "60000000", "memory.min": "4096", "memory.oom.group": "1"}
}`

func resourcesSet() []resource {
	return []resource{
		{"memory.max", "67108864", "MemoryMax=67108864"},
		{"memory.low", "33554432", "MemoryLow=33554432"},
		{"memory.swap.max", "67108864", "MemorySwapMax=67108864"},
		{"memory.high", "59998208", "MemoryHigh=60000000"},
		{"memory.min", "4096", "MemoryMin=4096"},
		{"memory.oom.group", "1", ""},
		{"pids.max", "50", "TasksMax=50"},
		{"cpu.weight", "174", "CPUWeight=174"},
		{"cpu.max", "50000 100000", "CPUQuotaPerSecUSec=500ms"},
		{"cpu.max.burst", "10000", ""},
		{"io.max", "98:0 rbps=1048576 wbps=max riops=max wiops=max", "IOReadBandwidthMax=/dev/block/98:0 1048576"},
	}
}

const updated = `{
	"memory": {"limit": 50331648, "reservation": 16777216, "swap": 50331648},
	"pids": {"limit": 40},
	"cpu": {"shares": 1024, "quota": 20000, "burst": 5000},
	"blockIO": {"throttleReadBpsDevice": [{"major": 98, "minor": 0, "rate": 2097152}]},
	"unified": {"memory.high": "40960000", "memory.min": "8192"}
}`

func resourcesUpdated() []resource {
	return []resource{
		{"memory.max", "50331648", "MemoryMax=50331648"},
		{"memory.low", "16777216", "MemoryLow=16777216"},
		{"memory.swap.max", "0", "MemorySwapMax=0"},
		{"memory.high", "40960000", "MemoryHigh=40960000"},
		{"memory.min", "8192", "MemoryMin=8192"},
		{"memory.oom.group", "1", ""},
		{"pids.max", "40", "TasksMax=40"},
		{"cpu.weight", "100", "CPUWeight=100"},
		{"cpu.max", "20000 100000", "CPUQuotaPerSecUSec=200ms"},
		{"cpu.max.burst", "5000", ""},
		{"io.max", "98:0 rbps=2097152 wbps=max riops=max wiops=max", "IOReadBandwidthMax=/dev/block/98:0 2097152"},
	}
}

// check reads all limits back.
func (b *box) check(when string, list []resource) {
	b.t.Helper()
	own := b.cgroup()
	show := ""
	if scope := b.state().Scope; scope != "" {
		show = "\n" + systemctl(b.t, "show", scope) + "\n"
	}
	for _, r := range list {
		dirs := []string{own}
		if show != "" {
			dirs = append(dirs, path.Dir(own))
		}
		for _, dir := range dirs {
			if _, err := os.Stat(path.Join(dir, r.file)); os.IsNotExist(err) && strings.HasPrefix(r.file, "memory.swap") {
				continue // a kernel without swap
			}
			if got := file(b.t, dir, r.file); got != r.value {
				b.t.Errorf("%s: %s of %s is %q, not %q", when, r.file, dir, got, r.value)
			}
		}
		if show != "" && r.property != "" && !strings.Contains(show, "\n"+r.property+"\n") {
			name, _, _ := strings.Cut(r.property, "=")
			_, rest, _ := strings.Cut(show, "\n"+name+"=")
			got, _, _ := strings.Cut(rest, "\n")
			b.t.Errorf("%s: the scope has %s=%q, not %s", when, name, got, r.property)
		}
	}
}

// Each limit is in the container's cgroup, in the scope and in systemd's mind,
// is updated in all of them, and survives a daemon-reload.
func TestEachResource(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, everything, "sleep", "100")
		b.start()
		b.check("created", resourcesSet())
		systemctl(t, "daemon-reload")
		b.check("reloaded", resourcesSet())
		update := path.Join(b.dir, "update.json")
		if err := os.WriteFile(update, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
		b.must("update", "--resources", update, b.id)
		b.check("updated", resourcesUpdated())
		systemctl(t, "daemon-reload")
		b.check("updated and reloaded", resourcesUpdated())
		b.must("update", b.id)
		b.check("updated without options", resourcesUpdated())
	})
}

// The flags of update do what the file does, also for limits that the
// container did not have.
func TestUpdateFlags(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, "", "sleep", "100")
		b.start()
		b.must("update", "--memory", "64m", "--pids-limit", "9", "--cpu-share", "1024", "--cpu-quota", "30000", "--cpu-period", "60000", b.id)
		b.check("updated", []resource{
			{"memory.max", "67108864", "MemoryMax=67108864"}, {"pids.max", "9", "TasksMax=9"},
			{"cpu.weight", "100", "CPUWeight=100"}, {"cpu.max", "30000 60000", "CPUQuotaPerSecUSec=500ms"},
		})
		b.must("update", "--memory", "-1", "--pids-limit", "-1", "--cpu-quota", "-1", b.id)
		b.check("lifted", []resource{
			{"memory.max", "max", "MemoryMax=infinity"}, {"pids.max", "max", "TasksMax=infinity"},
			{"cpu.max", "max 60000", "CPUQuotaPerSecUSec=infinity"},
		})
	})
}

// cpu.idle is a weight to systemd.
func TestCPUIdle(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"cpu": {"idle": 1}}`, "sleep", "100")
		b.start()
		b.check("created", []resource{{"cpu.idle", "1", "CPUWeight=idle"}})
	})
}

// A memory limit below what is in use is refused on demand, and nothing changes.
func TestCheckBeforeUpdate(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"memory": {"limit": 67108864}}`, "sleep", "100")
		b.start()
		update := path.Join(b.dir, "update.json")
		if err := os.WriteFile(update, []byte(`{"memory":{"limit":4096,"checkBeforeUpdate":true}}`), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := b.homerun("update", "--resources", update, b.id)
		if err == nil || !strings.Contains(out, "bytes are in use, so 4096 is refused") {
			t.Errorf("%v: %s", err, out)
		}
		b.check("refused", []resource{{"memory.max", "67108864", "MemoryMax=67108864"}})
	})
}
