package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestListenFDs: what sd_listen_fds(3) would say, and nothing counted twice.
func TestListenFDs(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	id, err := pidfdID()
	if err != nil {
		t.Fatal(err)
	}
	const told = "LISTEN_FDS=2 LISTEN_PID=1"
	for _, tt := range []struct {
		name, env, variables string
		n                    int
		want                 string
	}{
		{"for us", "", "LISTEN_FDS=2 LISTEN_PID=" + pid, 2, told},
		{"with names", "", "LISTEN_FDS=2 LISTEN_PID=" + pid + " LISTEN_FDNAMES=a:b", 2, told + " LISTEN_FDNAMES=a:b"},
		{"without LISTEN_PID", "", "LISTEN_FDS=2", 0, ""},
		{"for another", "", "LISTEN_FDS=2 LISTEN_PID=1", 0, ""},
		{"no number", "", "LISTEN_FDS=x LISTEN_PID=" + pid, 0, ""},
		{"negative", "", "LISTEN_FDS=-1 LISTEN_PID=" + pid, 0, ""},
		{"more than there can be", "", "LISTEN_FDS=2000000000 LISTEN_PID=" + pid, 0, ""},
		{"an engine has counted them", "LISTEN_FDS=2 LISTEN_PID=1", "LISTEN_FDS=2 LISTEN_PID=" + pid, 0, ""},
		{"for this process", "", "LISTEN_FDS=2 LISTEN_PID=" + pid + " LISTEN_PIDFDID=" + strconv.FormatUint(id, 10), 2, told},
	} {
		values := map[string]string{}
		for _, v := range strings.Fields(tt.variables) {
			name, value, _ := strings.Cut(v, "=")
			values[name] = value
		}
		n, got := listenFDs(strings.Fields(tt.env), func(name string) string { return values[name] })
		if n != tt.n || strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %d, %q", tt.name, n, got)
		}
	}
	// A process that had the number before us; older kernels have no such ids.
	other := map[string]string{"LISTEN_FDS": "2", "LISTEN_PID": pid, "LISTEN_PIDFDID": "7"}
	want := 0
	if id == 0 {
		want = 2
	}
	if n, _ := listenFDs(nil, func(name string) string { return other[name] }); n != want {
		t.Errorf("another process of this number: %d, want %d", n, want)
	}
}

func TestCheckPreserve(t *testing.T) {
	for n, ok := range map[int]bool{-1: false, 0: true, 3: true, 1 << 20: true, 1<<20 + 1: false} {
		if err := checkPreserve(n); (err == nil) != ok {
			t.Errorf("%d: %v", n, err)
		}
	}
}
