package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestTerminalOfNobody: whoever does not wait for the program cannot take its terminal,
// and nothing is made then.
func TestTerminalOfNobody(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	r, request := &Runtime{Options{Root: root}}, Request{ID: "c", Bundle: &bundle.Bundle{Config: &specs.Spec{Process: &specs.Process{Terminal: true}}}, Detached: true}
	_, runErr := r.Run(t.Context(), request)
	_, createErr := r.Create(t.Context(), request)
	for _, err := range []error{runErr, createErr} {
		if err == nil || err.Error() != "process.terminal needs a console socket when detached" {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(root); !os.IsNotExist(err) {
		t.Errorf("something was made: %v", err)
	}
}

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
