package live

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/homerun-oci/homerun/intelrdt"
)

// What is only recorded as to be made may be somebody else's by then: it stays
// when a process is in it.
func TestRemoveUnsure(t *testing.T) {
	root := t.TempDir()
	p := &intelrdt.Plan{Class: "web", Own: true, Monitor: "web"}
	recorded := Missing(p, root)
	if want := (Created{Class: root + "/web", Monitor: root + "/web/mon_groups/web", Unsure: true}); recorded != want {
		t.Fatalf("to be made: %+v", recorded)
	}
	if err := recorded.Remove(); err != nil {
		t.Errorf("nothing was made: %v", err)
	}
	if err := os.Mkdir(root+"/web", 0o755); err != nil {
		t.Fatal(err)
	}
	if c := Missing(p, root); c.Class != "" {
		t.Errorf("a class that is there is to be made: %+v", c)
	}
	tasks := root + "/web/tasks"
	if err := os.WriteFile(tasks, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := recorded.Remove(); err != nil || missing(root+"/web") {
		t.Errorf("a class with processes: %v", err)
	}
	if err := recorded.Change([]string{"L3:0=1"}); !errors.Is(err, ErrShared) {
		t.Errorf("change of a class that may be somebody else's: %v", err)
	}
	if err := os.Remove(tasks); err != nil {
		t.Fatal(err)
	}
	if err := recorded.Remove(); err != nil || !missing(root+"/web") {
		t.Errorf("an empty class stays: %v", err)
	}
}

// An update writes into the container's own class, all lines in one call.
func TestChange(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(root+"/schemata", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Created{Class: root}).Change([]string{"L3:0=1", "MB:0=50"}); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(root + "/schemata"); string(text) != "L3:0=1\nMB:0=50\n" {
		t.Errorf("wrote %q", text)
	}
	if err := (Created{Monitor: root}).Change([]string{"L3:0=1"}); !errors.Is(err, ErrShared) {
		t.Errorf("a class of others: %v", err)
	}
}

// TestApply uses a directory that looks like resctrl, where the files of a
// class are there before.
func TestApply(t *testing.T) {
	root := t.TempDir()
	file := func(p, text string) {
		t.Helper()
		p = filepath.Join(root, p)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	file("schemata", "L3:0=f\n")
	file("tasks", "")
	file("gold/schemata", "    L3:0=3\n    MB:0=20\n")
	file("gold/tasks", "")
	if _, err := Apply(&intelrdt.Plan{Class: "gold", Schemata: []string{"L3:0=3"}}, root, 42); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(filepath.Join(root, "gold/tasks")); string(text) != "42" {
		t.Errorf("tasks: %q", text)
	}
	if _, err := Apply(&intelrdt.Plan{Class: "gold", Schemata: []string{"L3:0=f"}}, root, 42); !errors.Is(err, ErrMismatch) {
		t.Errorf("another schema: %v", err)
	}
	if _, err := Apply(&intelrdt.Plan{Class: "gold", Own: true}, root, 42); !errors.Is(err, os.ErrExist) {
		t.Errorf("a class of somebody else with the container's name: %v", err)
	}
	// The kernel would have made the new class's files; without them Apply
	// fails, and takes the class back.
	if _, err := Apply(&intelrdt.Plan{Class: "web", Own: true}, root, 42); err == nil {
		t.Error("a class without files is accepted")
	}
	if _, err := os.Stat(filepath.Join(root, "web")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the class is still there")
	}
	if _, err := Apply(&intelrdt.Plan{}, t.TempDir(), 42); err == nil {
		t.Error("a host without resctrl is accepted")
	}
}
