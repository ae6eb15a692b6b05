package strace

import (
	"strings"
	"testing"
)

// TestFollow makes sure that following can fail.
func TestFollow(t *testing.T) {
	steps := []printedStep{
		{`fsopen("tmpfs", FSOPEN_CLOEXEC)`, `$fs = fsopen("tmpfs", FSOPEN_CLOEXEC)`},
		{`close($fs)`, `close($fs)  // EBADF -> 4, EIO`},
		{`umask(022)`, `umask(022)`},
		{`exit_group(0)`, `exit_group(0)`},
	}
	const opened = "7 execve(\"/proc/self/fd/9\", [\"stage\"], []) = 0\n7 fsopen(\"tmpfs\", FSOPEN_CLOEXEC) = 5\n"
	tests := []struct{ name, out, want string }{
		{"as planned", opened + "7 close(5 <unfinished ...>\n8 getpid() = 8\n7 <... close resumed>) = 0\n7 umask(022) = 000\n7 exit_group(0) = ?", ""},
		{"skip", opened + "7 close(5) = -1 EBADF (Bad file descriptor)\n7 exit_group(0) = ?", ""},
		{"tolerated", opened + "7 close(5) = -1 EIO (Input/output error)\n7 umask(022) = 022\n7 exit_group(0) = ?", ""},
		{"another argument", opened + "7 close(6) = 0", "strace saw\nclose(6)"},
		{"another call", opened + "7 fsync(5) = 0", "strace saw\nfsync(5)"},
		{"one left out", opened + "7 umask(022) = 0", "step 2"},
		{"not skipped", opened + "7 close(5) = -1 EBADF (Bad file descriptor)\n7 umask(022) = 0", "step 4"},
		{"an error", opened + "7 close(5) = -1 EPERM (Operation not permitted)", "(EPERM), which the plan does not go on after"},
		{"killed", opened, "strace saw nothing after step 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			calls := parse(test.out)
			if pid := stagePid(calls, "stage"); pid != 7 {
				t.Fatalf("the stage is process %d, want 7", pid)
			}
			p := process{pid: 7, calls: afterStart(of(calls, 7), "stage")}
			_, err := p.follow(printed{Steps: steps}, make([]bool, len(steps)))
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestBare(t *testing.T) {
	for text, want := range map[string]string{
		`close(5</a/b>(deleted))`:                `close(5)`,
		`openat(AT_FDCWD</>, "5<x>", 0)`:         `openat(AT_FDCWD, "5<x>", 0)`,
		`capset({effective=1<<CAP_KILL|1<<CAP})`: `capset({effective=1<<CAP_KILL|1<<CAP})`,
		`write(3<pipe:[7]>, "a\"5<x>", 1)`:       `write(3, "a\"5<x>", 1)`,
	} {
		if got := bare(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestRanges(t *testing.T) {
	for list, want := range map[string]string{"[0 1]": "[0-1]", "[0 2]": "[0 2]", "[0 1 2 7]": "[0-2 7]", "[1 3 4 5 9 10]": "[1 3-5 9-10]",
		"[0 1 2 ...]": "[0-8191]"} {
		if got := ranges(list); got != want {
			t.Errorf("%s: got %s, want %s", list, got, want)
		}
	}
}

func TestRecord(t *testing.T) {
	tests := map[string]string{
		record(1|1<<31, 15440):         `"\1\0\0\200P<\0\0"`,
		record(2, '\n'<<8|'"'|'0'<<24): `"\2\0\0\0\"\n\0000"`,
	}
	for got, want := range tests {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
