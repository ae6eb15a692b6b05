package main

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
)

// TestListenFDs: what sd_listen_fds(3) would say.
func TestListenFDs(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	id, err := pidfdID()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, variables string
		want            host.Listen
	}{
		{"for us", "LISTEN_FDS=2 LISTEN_PID=" + pid, host.Listen{Count: 2}},
		{"with names", "LISTEN_FDS=2 LISTEN_PID=" + pid + " LISTEN_FDNAMES=a:b", host.Listen{Count: 2, Names: "a:b"}},
		{"without LISTEN_PID", "LISTEN_FDS=2", host.Listen{}},
		{"for another", "LISTEN_FDS=2 LISTEN_PID=1", host.Listen{}},
		{"no number", "LISTEN_FDS=x LISTEN_PID=" + pid, host.Listen{}},
		{"negative", "LISTEN_FDS=-1 LISTEN_PID=" + pid, host.Listen{}},
		{"more than there can be", "LISTEN_FDS=2000000000 LISTEN_PID=" + pid, host.Listen{}},
		{"for this process", "LISTEN_FDS=2 LISTEN_PID=" + pid + " LISTEN_PIDFDID=" + strconv.FormatUint(id, 10), host.Listen{Count: 2}},
	} {
		values := map[string]string{}
		for _, v := range strings.Fields(tt.variables) {
			name, value, _ := strings.Cut(v, "=")
			values[name] = value
		}
		if got := listenFDs(func(name string) string { return values[name] }); got != tt.want {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	// A process that had the number before us; older kernels have no such ids.
	other := map[string]string{"LISTEN_FDS": "2", "LISTEN_PID": pid, "LISTEN_PIDFDID": "7"}
	want := 0
	if id == 0 {
		want = 2
	}
	if n := listenFDs(func(name string) string { return other[name] }).Count; n != want {
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
