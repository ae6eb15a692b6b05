package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/runflags"
	"github.com/homerun-oci/homerun/spec"
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

// All values that are offered are taken by who reads the flag.
func TestCompletedFlagsAreTaken(t *testing.T) {
	apply := func(flag, value string) error {
		c, err := spec.Rootfs{Path: "/"}.Config()
		if err == nil {
			err = runflags.Apply(c, runflags.Values{flag: {value}}, runflags.Host{})
		}
		return err
	}
	signal := func(value string) error { _, err := container.ParseStopSignal(value); return err }
	for flag, take := range map[string]func(value string) error{
		"log-level":  func(v string) error { _, err := parseLevel(v); return err },
		"log-format": func(v string) error { return (&options{logFormat: v}).checkLog() },
		"cgroup-manager": func(v string) error {
			_, err := (&options{root: "/r", logFormat: "text", cgroupManager: v}).runtime()
			return err
		},
		"net": func(v string) error {
			_, err := (&networkFlags{net: v + map[bool]string{true: "/n"}[v == "ns:"]}).parse()
			return err
		},
		"signal":      signal,
		"stop-signal": func(v string) error { _, err := stopSignal(v); return err },
		"reload": func(v string) error {
			if v == "none" {
				return nil
			}
			return signal(v)
		},
		"cap-add":  func(v string) error { return apply("cap-add", v) },
		"cap-drop": func(v string) error { return apply("cap-drop", v) },
		"pid":      func(v string) error { return apply("pid", v) },
		"ipc":      func(v string) error { return apply("ipc", v) },
		"uts":      func(v string) error { return apply("uts", v) },
		"userns":   func(v string) error { return apply("userns", v) },
		"home":     func(v string) error { _, err := (&personFlags{home: v, asRoot: true}).person("/", ""); return err },
		"log-driver": func(v string) error {
			_, _, err := (&outputFlags{driver: v}).streams(container.Streams{}, false)
			return err
		},
		"security-opt": func(v string) error { _, err := (&personFlags{security: []string{v}}).confinement(); return err },
		flagReady:      func(v string) error { _, err := parseReady(v); return err },
		"format": func(v string) error {
			for _, c := range newRootCommand(&options{}, nil).Commands() {
				if f := c.Flags().Lookup("format"); f != nil && !strings.Contains(f.Usage, v) {
					return errors.New(c.Name() + " does not have it")
				}
			}
			return nil
		},
	} {
		t.Run(flag, func(t *testing.T) {
			t.Setenv("HOME", t.TempDir())
			list, _ := flagValues(flag)
			for _, value := range list {
				if err := take(value); err != nil {
					t.Errorf("%s is offered: %v", value, err)
				}
			}
			if len(list) == 0 {
				t.Error("nothing is offered")
			}
		})
	}
}

func TestCompletedVerbs(t *testing.T) {
	if names := completed(t, ""); !slices.ContainsFunc(names, func(s string) bool { return strings.HasPrefix(s, "run\t") }) {
		t.Errorf("no verbs: %q", names)
	}
}
