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

	"github.com/homerun-oci/homerun/tests/again"
	"github.com/homerun-oci/homerun/tests/guest"
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
		tables := exec.Command("timeout", "5", guest.Homerun(t), "--root", b.root, "top")
		text, _ := tables.Output() // it ends by the signal
		if n := strings.Count(string(text), b.id+" "); n < 3 || n > 6 || strings.Contains(string(text), "\x1b") {
			t.Errorf("%d tables in 5 seconds: %s", n, text)
		}
	})
}

// What a detached container writes on a terminal goes to the journal, where people find it
// by the container's name, and so does logs. For a user that is so where each has files of
// his own, which the machine's journal, in memory, has not.
func TestJournal(t *testing.T) {
	t.Run("user", func(t *testing.T) {
		guest.NeedUser(t)
		if os.Getenv("HOMERUN_TEST_JOURNAL") == "disk" {
			journalled(t)
			return
		}
		b := newBox(t, "systemd", "", "/bin/sh", "-c", "echo out")
		b.detach("auto")
		if _, err := b.homerun("wait", b.id); err != nil {
			t.Error(err)
		}
		if got := b.must("logs", b.id); got != "out\n" {
			t.Errorf("in a file: %q", got)
		}
		c := newBox(t, "systemd", "", "/bin/sh", "-c", "echo out")
		c.detach("journald")
		const denied, hint = ": journalctl: No journal files were opened due to insufficient permissions\n", "    hint: members of the groups adm and systemd-journal may read the journal: "
		if out, err := c.homerun("logs", c.id); err == nil || out != "homerun: logs "+c.id+denied {
			t.Errorf("%v: %s", err, out)
		}
		if out, err := c.homerun("--debug", "logs", "-f", c.id); err == nil || !strings.Contains(out, denied) || !strings.Contains(out, hint) {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("root", func(t *testing.T) {
		guest.NeedRoot(t)
		const configuration = "/run/systemd/journald.conf.d/zz-persistent.conf"
		for _, c := range [][]string{{"mkdir", "-p", "/run/systemd/journald.conf.d"}, {"sh", "-c", "printf '[Journal]\\nStorage=persistent\\n' >" + configuration},
			{"systemctl", "restart", "systemd-journald"}, {"journalctl", "--flush"}} {
			if out, err := guest.Command(callLimit, c...); err != nil {
				t.Fatalf("%v: %v: %s", c, err, out)
			}
		}
		t.Cleanup(func() {
			_ = os.Remove(configuration)
			_, _ = guest.Command(callLimit, "systemctl", "restart", "systemd-journald")
		})
		t.Run("root", journalled)
		t.Run("dev", func(t *testing.T) {
			args := []string{"runuser", "-u", "dev", "--", "env", "XDG_RUNTIME_DIR=/run/user/1000"}
			again.Pass(t, exec.Command(args[0], append(args[1:], "HOMERUN_TEST_MACHINE=1", "HOMERUN="+os.Getenv("HOMERUN"), "HOMERUN_TEST_JOURNAL=disk")...), "TestJournal/user")
		})
	})
}

// detach runs the container as on a terminal that goes away.
func (b *box) detach(driver string) {
	b.t.Helper()
	b.t.Cleanup(func() { b.must("delete", "--force", b.id) })
	b.must("--version") // which writes config.json
	line := strings.Join([]string{guest.Homerun(b.t), "--root", b.root, "--cgroup-manager", b.manager, "run", "-d", "--log-driver", driver, "--bundle", b.dir, b.id}, " ")
	if out, err := guest.Command(callLimit, "script", "-qec", line, "/dev/null"); err != nil || strings.Contains(out, "out") {
		b.t.Fatalf("%v: %s", err, out)
	}
}

func journalled(t *testing.T) {
	b := newBox(t, "systemd", "", "/bin/sh", "-c",
		"echo out of it; echo err of it >/dev/stderr; printf 'a\\001b'; touch /tmp/ready; while [ ! -e /tmp/end ]; do sleep 0.1; done; echo last; exit 3")
	b.detach("auto")
	eventually(t, "ready", func() bool { _, err := os.Stat(b.dir + "/rootfs/tmp/ready"); return err == nil })
	for _, match := range []string{"CONTAINER_NAME=" + b.id, "--identifier=" + b.id} {
		eventually(t, "in the journal", func() bool {
			out, err := guest.Command(callLimit, "journalctl", "--quiet", "--output=cat", match)
			return err == nil && strings.Contains(out, "out of it\n") && strings.Contains(out, "err of it\n")
		})
	}
	follows := exec.Command(guest.Homerun(t), "--root", b.root, "logs", "-f", b.id)
	var out, problems strings.Builder
	follows.Stdout, follows.Stderr = &out, &problems
	if err := follows.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if err := os.WriteFile(b.dir+"/rootfs/tmp/end", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := follows.Wait(); err != nil || out.String() != "out of it\na\001blast\n" || problems.String() != "err of it\n" {
		t.Errorf("%v: %q, %q", err, out.String(), problems.String())
	}
	if _, err := b.homerun("wait", b.id); err == nil || err.Error() != "exit status 3" {
		t.Error(err)
	}
	if got := b.must("logs", "--tail", "1", b.id); got != "a\001blast\n" {
		t.Errorf("%q", got)
	}
	if os.Geteuid() == 0 {
		b.forged()
	}
}

// forged has another user, who knows a container's number in the journal, write an entry
// with it: that is none of the container's.
func (b *box) forged() {
	b.t.Helper()
	var kept struct{ Instance string }
	text, err := os.ReadFile(b.root + "/" + b.id + "/output.json")
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	const write = `printf 'CONTAINER_ID_FULL=%s\nPRIORITY=6\nMESSAGE=forged\n' "$1" | logger --journald`
	if out, err := guest.Command(callLimit, "runuser", "-u", "dev", "--", "sh", "-c", write, "sh", kept.Instance); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	eventually(b.t, "the forged one in the journal", func() bool {
		out, _ := guest.Command(callLimit, "journalctl", "--quiet", "--output=cat", "CONTAINER_ID_FULL="+kept.Instance)
		return strings.Contains(out, "forged\n")
	})
	if got := b.must("logs", b.id); strings.Contains(got, "forged") || !strings.Contains(got, "last") {
		b.t.Errorf("logs shows %q", got)
	}
}
