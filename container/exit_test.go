package container

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A record is read as it was written, once, and an empty one says nothing.
func TestExitRecord(t *testing.T) {
	for status, want := range map[unix.WaitStatus]string{0: "exit status 0", 0x0500: "exit status 5", 0xff00: "exit status 255",
		9: "killed by SIGKILL", 0x8b: "killed by SIGSEGV"} {
		c := scratch(t)
		if e, err := c.Exit(); e != nil || err != nil {
			t.Errorf("without a record: %v, %v", e, err)
		}
		if err := c.keepExit(status); err != nil {
			t.Fatal(err)
		}
		if err := c.keepExit(0x0100); err != nil {
			t.Errorf("a second time: %v", err)
		}
		e, err := c.Exit()
		if err != nil || e.String() != want || time.Since(e.Time) > time.Minute {
			t.Errorf("%x: %+v, %v", status, e, err)
		}
	}
	c := scratch(t)
	if err := os.WriteFile(c.file(exitFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Exit(); e != nil || err != nil {
		t.Errorf("an empty record: %v, %v", e, err)
	}
}
