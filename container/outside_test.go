package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/intelrdt"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fakeResctrl is a directory as resctrl's root, in which a class named gold has
// its files, with a process of somebody's. The kernel makes the files of a new
// class; here they are missing, so that joining one fails after it was made.
func fakeResctrl(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{"schemata": "L3:0=f\n", "tasks": "", "gold/schemata": "L3:0=f\n", "gold/tasks": "1\n"} {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// A class of resctrl is in state.json before it is made, or who is killed in
// between leaves it for ever: there are only a few per machine. Tried too: a
// class of others, which is recorded as nothing to undo; a monitoring group in
// it; and the undoing of each.
func TestClassIsRecordedBefore(t *testing.T) {
	root := fakeResctrl(t)
	c, err := made(&Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.newStarting(nil)
	c.State.Version, c.State.ID, c.State.Pid = store.StateVersion, c.ID, 42
	recorded := func() string {
		t.Helper()
		text, err := os.ReadFile(c.dir.FilePath(store.StateFile))
		if err != nil {
			t.Fatalf("nothing is recorded: %v", err)
		}
		return strings.ReplaceAll(string(text), `\"`, `"`)
	}
	if err := s.do(t.Context(), action.JoinClass{Root: root, Plan: class(t, &specs.LinuxIntelRdt{})}); err == nil {
		t.Fatal("a class without files is joined")
	}
	if text := recorded(); !strings.Contains(text, `"Class":"`+root+`/web"`) {
		t.Errorf("the class was made, and not recorded before: %s", text)
	}
	if err := s.do(t.Context(), action.JoinClass{Root: root, Plan: class(t, &specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true})}); err == nil {
		t.Fatal("a monitoring group without files is made")
	}
	if text := recorded(); !strings.Contains(text, `"Class":"","Monitor":"`+root+`/gold/mon_groups/web"`) {
		t.Errorf("the group was made, and not recorded before: %s", text)
	}
	if err := s.do(t.Context(), action.JoinClass{Root: root, Plan: class(t, &specs.LinuxIntelRdt{ClosID: "gold"})}); err != nil {
		t.Fatal(err)
	}
	for _, u := range c.State.Undo {
		if err := c.undo(t.Context(), u); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(root + "/gold/tasks"); err != nil {
		t.Errorf("the class of others is gone: %v", err)
	}
}

func class(t *testing.T, rdt *specs.LinuxIntelRdt) *intelrdt.Plan {
	t.Helper()
	p, err := intelrdt.New(rdt, "web")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
