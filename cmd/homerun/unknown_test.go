package main

import (
	"io"
	"strings"
	"testing"
)

func TestUnknownVerb(t *testing.T) {
	for line, want := range map[string]string{
		"checkpoint --help":                 `checkpoint is not supported: homerun does not save and restore running containers`,
		"--root /r checkpoint -h":           `checkpoint is not supported: homerun does not save and restore running containers`,
		"restore --lsm-mount-context":       `restore is not supported: homerun does not save and restore running containers`,
		"stat x":                            `unknown command "stat"; did you mean "state"?`,
		"images":                            `unknown command "images": homerun has no images; podman export makes a directory of one, for run --rootfs DIR`,
		"runn --rootfs / sh":                `unknown command "runn"; did you mean "run"?`,
		"--log-format=json nosuch --log /x": `unknown command "nosuch"; homerun help lists them`,
		"help runn":                         `unknown command "runn"; did you mean "run"?`,
		"help images":                       `unknown command "images": homerun has no images; podman export makes a directory of one, for run --rootfs DIR`,
		"help help":                         "",
		"":                                  "", "--help": "", "help": "", "help create": "", "ls --help": "", "create --help": "",
		"--nosuch": "unknown flag: --nosuch; see homerun --help", "create": "want one argument: the container's id",
	} {
		args := strings.Fields(line)
		root := newRootCommand(&options{}, args)
		root.SetArgs(args)
		root.SetOut(io.Discard)
		err := root.Execute()
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

// What is said to be elsewhere is no flag of run.
func TestElsewhere(t *testing.T) {
	flags := newRunCommand(&options{}).Flags()
	for _, e := range elsewhere {
		for _, name := range strings.Fields(e.flags) {
			if flags.Lookup(name) != nil {
				t.Errorf("--%s is a flag of run: %s", name, e.text)
			}
		}
	}
}
