package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// unitText is what unit prints for NAME and flags.
func unitText(o *options, words ...string) (string, error) {
	f, c := &unitFlags{}, &cobra.Command{}
	f.run.add(o, c, false)
	f.add(c.Flags())
	list, err := parseGiven(c, words[1:])
	if err != nil {
		return "", err
	}
	name, isSocket := strings.CutSuffix(words[0], ".socket")
	u := &unitMaker{options: o, global: c.InheritedFlags(), flags: f, set: c.Flags(), name: name, args: c.Flags().Args(), given: list}
	return u.text(isSocket)
}

// TestUnitText: what a command line is in a unit, which counts nothing from the directory
// where it was typed.
func TestUnitText(t *testing.T) {
	around(t)
	for _, name := range []string{"env", "data"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"web -v ./data:/d:ro":                    "--volume=" + cwd + "/data:/d:ro",
		"web --env-file env":                     "--env-file=" + cwd + "/env",
		"web --pid-file pid":                     "--pid-file=" + cwd + "/pid",
		"web --overlay=kept":                     "--overlay=" + cwd + "/kept",
		"web --here":                             "WorkingDirectory=" + cwd + "\n",
		"web --net none":                         "WorkingDirectory=-" + cwd + "\n",
		"web --stop-timeout 3":                   "TimeoutStopSec=3\n",
		"web --stop-timeout 0":                   "TimeoutStopSec=1ms\n",
		"web --cpus 1":                           "TimeoutStopSec=10\n",
		"web --stop-signal int":                  "KillSignal=2\n",
		"web --watchdog 3":                       "--sdnotify=container",
		"web --pids-limit 9":                     "--sdnotify=start",
		"web.socket -p [::1]:90:90 -p 91:91/udp": "ListenStream=[::1]:90\nListenDatagram=91\n",
		"web -d":                                 "!--detach: systemd stays",
		"web --keep":                             "!--keep: the next start",
		"web --rm=false":                         "!--keep: the next start",
		"web --dry-run":                          "!--dry-run: it would print",
		"web --restart on-abort":                 "!--restart \"on-abort\": want",
		"web --watchdog 3 --sdnotify start":      "!--watchdog: the program itself",
		"web --reload NOSUCH":                    "!--reload: unknown signal",
		"web --socket":                           "!--socket: say by --publish",
		"a/b --cpus 2":                           "!invalid name of a unit",
	} {
		words := strings.Split(line, " ")
		text, err := unitText(&options{logFormat: "text", cgroupManager: "auto"}, slices.Concat(words, []string{"--rootfs", "/", "--", "true"})...)
		want, wrong := strings.CutPrefix(want, "!")
		if err != nil {
			text = err.Error()
		}
		if (err != nil) != wrong || !strings.Contains(text, want) {
			t.Errorf("%s: %s, want %s", line, text, want)
		}
	}
	if _, err := unitText(&options{logFormat: "text", systemdCgroup: true}, "web", "--rootfs", "/", "--", "true"); err == nil || !strings.Contains(err.Error(), "--cgroup-manager=systemd: the container's cgroup") {
		t.Error(err)
	}
	if _, err := unitText(&options{logFormat: "text"}, "web", "--rootfs", "/"); err == nil || !strings.Contains(err.Error(), "want a command after the flags") {
		t.Error(err)
	}
}
