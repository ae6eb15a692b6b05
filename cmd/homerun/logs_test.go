package main

import (
	"os"
	"testing"

	"github.com/homerun-oci/homerun/container"
)

// TestStaysOpen: a file stays with a detached program, and of --rootfs no pipe does: who
// reads it would wait for the program.
func TestStaysOpen(t *testing.T) {
	_, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		fd          int
		pipes, want bool
	}{{int(w.Fd()), false, false}, {int(w.Fd()), true, true}, {int(file.Fd()), false, true}, {-1, true, false}} {
		if got := staysOpen(c.fd, c.pipes); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func TestLogOptions(t *testing.T) {
	for option, want := range map[string]int64{"max-size=10m": 10 << 20, "max-size=1": 1, "max-size=0": 0, "max-size=-1": 0, "max-size=": 0, "max-size": 0, "tag=x": 0} {
		f := outputFlags{driver: "file", options: []string{option}}
		_, kept, err := f.streams(container.OwnStreams(), false)
		if (err == nil) != (want > 0) || err == nil && kept.MaxSize != want {
			t.Errorf("%s: %+v, %v", option, kept, err)
		}
	}
}
