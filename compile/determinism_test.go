package compile

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestDeterminism compiles each golden file many times: maps are iterated in
// another order each time. It also wants the inputs to be left as they were,
// since callers use them afterwards.
func TestDeterminism(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	compiled := 0
	for _, file := range files {
		g := readGolden(t, readArchive(t, file))
		first := ""
		for i := range 10 {
			b, facts := g.input(t)
			before := marshal(t, b.Config, facts)
			r, err := g.compile(t, b, facts)
			text, image := "", plan.Image{}
			if err != nil {
				text = errorText(err)
			} else {
				text, image = g.print(r), plan.NewEncoding(r.Plan, 0x400000, 0x500000).Image
				compiled++
			}
			text += string(image.Code) + string(image.Data)
			if i == 0 {
				first = text
			}
			if text != first {
				t.Errorf("%s: one config has two results", file)
				break
			}
			if !bytes.Equal(before, marshal(t, b.Config, facts)) {
				t.Errorf("%s: compiling changes the config or the facts", file)
				break
			}
		}
	}
	if compiled < 300 {
		t.Errorf("only %d compilations", compiled)
	}
}

func marshal(t *testing.T, values ...any) []byte {
	t.Helper()
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestMissingSections: a library's caller may leave out what config.json may
// not.
func TestMissingSections(t *testing.T) {
	_, facts := golden{}.input(t)
	namespaces := &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}}
	for name, s := range map[string]*specs.Spec{
		"nothing":    {},
		"no process": {Root: &specs.Root{Path: "rootfs"}, Linux: namespaces},
		"no root":    {Process: &specs.Process{Cwd: "/", Args: []string{"x"}}, Linux: namespaces},
		"no linux":   {Process: &specs.Process{Cwd: "/", Args: []string{"x"}}, Root: &specs.Root{Path: "rootfs"}},
	} {
		r, err := compileAnswered(s, facts, wishes())
		if (err == nil) == (r == nil || r.Plan == nil) {
			t.Errorf("%s: result %v and error %v", name, r, err)
		}
		if s.Linux == nil && name == "nothing" && !reflect.DeepEqual(s, &specs.Spec{}) {
			t.Errorf("%s: the config became %+v", name, s)
		}
	}
}
