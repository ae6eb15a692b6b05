package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A pid file that cannot be told to delete, since the current directory that it
// counts from is gone, is an error and no more: there is nothing to undo.
func TestPidFileOfNoDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	c, err := made(&Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}, "c")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.newStarting(nil)
	err = s.planPidFile("web.pid")
	s.pidFile.Close()
	if err == nil || !strings.Contains(err.Error(), "current directory") || len(c.State.Undo) != 0 {
		t.Errorf("%v, to undo %v", err, c.State.Undo)
	}
	if err := c.destroy(t.Context()); err != nil {
		t.Error(err)
	}
}
