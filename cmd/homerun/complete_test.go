package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// completed is what a shell would offer.
func completed(t *testing.T, words ...string) []string {
	t.Helper()
	args := append([]string{"__complete"}, words...)
	root := newRootCommand(&options{}, args)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	list := strings.Split(strings.TrimSpace(out.String()), "\n")
	return list[:len(list)-1]
}

func TestCompletedFlags(t *testing.T) {
	for _, c := range []struct{ words, want string }{
		{"--cgroup-manager=", "auto systemd cgroupfs disabled"},
		{"--log-format ", "text json"},
		{"run --rootfs / --net ", "none host pasta slirp4netns ns:"},
		{"list -f ", "table json"},
		{"exec -c ", "CHOWN DAC_OVERRIDE"},
		{"kill web ", "HUP INT QUIT"},
		{"kill web TERM ", ""},
		{"run --hostname ", ""},
		{"kill web SIGT", "SIGHUP SIGINT"},
		{"exec -c CAP_S", "CAP_CHOWN"},
		{"run --log-driver ", "auto journald"},
		{"run --security-opt ", "seccomp=unconfined"},
		{"unit web --rootfs / --restart ", "no on-failure always"},
		{"unit web --rest", "--restart"},
		{"unit web --reload ", strings.Join(signalNames(), " ") + " none"},
	} {
		got := strings.Join(completed(t, strings.Split(c.words, " ")...), " ")
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%q: %q, want %q", c.words, got, c.want)
		}
	}
}

// All values that are offered are taken, and all flags that have values are known.
func TestCompletedFlagsAreThere(t *testing.T) {
	root := newRootCommand(&options{}, nil)
	for _, c := range root.Commands() {
		if f := c.Flags().Lookup("format"); f != nil {
			list, _ := flagValues("format")
			for _, value := range list {
				if !strings.Contains(f.Usage, value) {
					t.Errorf("%s: --format %s is offered", c.Name(), value)
				}
			}
		}
	}
	list, _ := flagValues("cgroup-manager")
	for _, value := range list {
		if !strings.Contains(root.PersistentFlags().Lookup("cgroup-manager").Usage, value) {
			t.Errorf("%s is offered", value)
		}
	}
	if names := completed(t, ""); !slices.ContainsFunc(names, func(s string) bool { return strings.HasPrefix(s, "run\t") }) {
		t.Errorf("no verbs: %q", names)
	}
}
