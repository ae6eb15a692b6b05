package main

import (
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"--root /r run -no-subreaper -pid-file=/p c1", "--root /r run --no-subreaper --pid-file=/p c1"},
		{"-root /r -log=x state c1", "--root /r --log=x state c1"},
		{"-root -log state c1", "--root -log state c1"}, // a value
		{"kill -all c1 9", "kill --all c1 9"},
		{"kill c1 -all", "kill c1 --all"},
		{"exec -detach -e A=b c1 find -name x -user y", "exec --detach -e A=b c1 find -name x -user y"},
		{"exec -tp f c1 cmd -detach", "exec -tp f c1 cmd -detach"},
		{"exec -tpf c1 cmd -detach", "exec -tpf c1 cmd -detach"},
		{"exec --user 0 c1 x -root", "exec --user 0 c1 x -root"},
		{"run -detach c1 -root", "run --detach c1 -root"},
		{"exec c1 -- cmd -tty", "exec c1 -- cmd -tty"},
		{"-- -root", "-- -root"},
		{"nosuch -root x", "nosuch --root x"},
		{"-", "-"}, {"", ""},
	} {
		args := strings.Fields(test.line)
		got := strings.Join(normalize(newRootCommand(&options{}, args), args), " ")
		if got != test.want {
			t.Errorf("%q: %q, want %q", test.line, got, test.want)
		}
	}
}
