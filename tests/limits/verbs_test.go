package limits

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stop lets a paused container have its signal, and kills it while it is paused when it
// has no use for that.
func TestStopPaused(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		for want, script := range map[string]string{"3": "trap 'exit 3' TERM; touch /tmp/ready; while :; do sleep 0.01; done", "137": "touch /tmp/ready; exec sleep 100"} {
			b := newBox(t, manager, "", "/bin/sh", "-c", script)
			t.Cleanup(func() { b.must("delete", "--force", b.id) })
			b.must("run", "-d", "--bundle", b.dir, b.id)
			eventually(t, "ready", func() bool { _, err := os.Stat(b.dir + "/rootfs/tmp/ready"); return err == nil })
			b.must("pause", b.id)
			begun := time.Now()
			b.must("stop", b.id)
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("stop took %s", took)
			}
			b.wantStatus("stopped")
			if _, err := b.homerun("wait", b.id); err == nil || err.Error() != "exit status "+want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

// stats says what a container uses and may use, and inspect how the kernel limits it.
func TestStatsTable(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"memory": {"limit": 67108864}, "pids": {"limit": 50}}`, "/bin/sh", "-c", "while :; do :; done")
		b.start()
		time.Sleep(time.Second)
		out := b.must("stats", "--no-stream", b.id)
		fields := regexp.MustCompile(`(?m)^` + b.id + ` +(\d+\.\d) +[\d.]+ [KM]iB +64\.0 MiB +1/50 `).FindStringSubmatch(out)
		if len(fields) == 0 {
			t.Fatal(out)
		}
		if cpu, err := strconv.ParseFloat(fields[1], 64); err != nil || cpu < 10 || cpu > 200 {
			t.Errorf("CPU of a loop: %s", out)
		}
		var list []struct{ Limits map[string]string }
		if err := json.Unmarshal([]byte(b.must("inspect", b.id)), &list); err != nil || len(list) != 1 {
			t.Fatal(err, list)
		}
		if l := list[0].Limits; l["memory.max"] != "67108864" || l["pids.max"] != "50" {
			t.Errorf("%v", l)
		}
		// A live table comes again and again: in a pipe one after the other.
		tables := exec.Command("timeout", "5", homerun(t), "--root", b.root, "top")
		text, _ := tables.Output() // it ends by the signal
		if n := strings.Count(string(text), b.id+" "); n < 3 || n > 6 || strings.Contains(string(text), "\x1b") {
			t.Errorf("%d tables in 5 seconds: %s", n, text)
		}
	})
}
