package main

import (
	"io"
	"strings"
	"testing"
)

func TestUnknownVerb(t *testing.T) {
	for line, want := range map[string]string{
		"checkpoint --help":                 `unknown command "checkpoint"`,
		"--root /r checkpoint -h":           `unknown command "checkpoint"`,
		"restore --lsm-mount-context":       `unknown command "restore"`,
		"stat x":                            `unknown command "stat"; did you mean "state"?`,
		"--log-format=json nosuch --log /x": `unknown command "nosuch"`,
		"":                                  "", "--help": "", "help": "", "help create": "", "ls --help": "", "create --help": "",
		"--nosuch": "unknown flag: --nosuch", "create": "want one argument: the container's id",
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
