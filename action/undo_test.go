package action

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/jsonread"
	"github.com/homerun-oci/homerun/plan"
)

// What undoes an action is printed as `homerun plan` has always had it.
func TestUndoLines(t *testing.T) {
	cgroup := func(base, name string) MakeCgroup {
		return MakeCgroup{Mount: "/sys/fs/cgroup", Choice: cgroupv2.Choice{Base: base, Path: name}, Below: "container"}
	}
	for _, test := range []struct {
		action plan.Action
		want   string
	}{
		{MakeDirectory{Path: "/run/homerun/web"}, "remove the directory /run/homerun/web"},
		{StartStage{Name: "homerun"}, "kill the stage"},
		{cgroup("", "/web"), "remove the cgroup /sys/fs/cgroup/web"},
		{cgroup("/a/b", "/a/b/web"), "remove the cgroup /sys/fs/cgroup/a/b/web"},
		{cgroup("/a", "/a/b/web"), "remove the cgroup /sys/fs/cgroup/a/b/web, and those above it that were made"},
		{StartScope{Unit: "homerun-web.scope"}, "stop the scope homerun-web.scope"},
		{StartNetwork{Directory: "/run/homerun/web"}, "end homerun-net"},
		{AwaitNetwork{}, ""},
		{JoinClass{}, "remove the class, if it was made"},
		{RecordMade{}, "remove what was made in the root"},
		{GiveCgroup{}, ""},
		{nil, ""},
	} {
		got := ""
		if u := UndoOf(test.action); u != nil {
			got = u.Line()
		}
		if got != test.want {
			t.Errorf("%T: %q, want %q", test.action, got, test.want)
		}
	}
	for u, want := range map[Undo]string{
		RemoveMade{"run/x"}:          "remove run/x, which was made in the root",
		RemoveFile{"/run/.pid.123"}:  "remove the file /run/.pid.123",
		UnknownUndo{"moon", "\n", 0}: `undo "moon" "\n"`,
	} {
		if got := u.Line(); got != want {
			t.Errorf("%+v: %q, want %q", u, got, want)
		}
	}
}

// TestEachIsAsked: each action of the package is in the switch of UndoOf, or here among those whose traces go with those of
// another one, with init or with the container's directory, or are recorded elsewhere, as a pid file's temporary one is. Who
// adds one has to say which.
func TestEachIsAsked(t *testing.T) {
	leavesNothing := strings.Fields(`AwaitMaps AwaitNetwork AwaitProgram AwaitScope BecomeSubreaper CompileRest ConnectAgent ConnectConsole
		ConnectPidfd Copy EnterScope FilterDevices GiveCgroup KeepConfig KeepOutput KeepSteps Leave LoadDevices LoadFilter LockOverlay
		MakeExitRecord MakeFIFOs MakeFile MakeNotifySocket MakePidFile MakeSubgroup MapIDs MarkMade MeetAgent MoveDevices MoveDown
		NamePidFile OpenCopies OpenNamespace PassListener PrepareIDMap ReceiveTerminal Record RecordMembers RunHook SendPidfd
		WriteCgroup WriteNetworkFiles`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var actions, undos, asked []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			switch {
			case !ok:
			case f.Recv == nil && f.Name.Name == "UndoOf":
				ast.Inspect(f, func(n ast.Node) bool {
					if c, ok := n.(*ast.CaseClause); ok {
						for _, e := range c.List {
							asked = append(asked, types.ExprString(e))
						}
					}
					return true
				})
			case f.Recv != nil && f.Name.Name == "Line":
				actions = append(actions, strings.TrimPrefix(types.ExprString(f.Recv.List[0].Type), "*"))
			case f.Recv != nil && f.Name.Name == "record":
				undos = append(undos, types.ExprString(f.Recv.List[0].Type))
			}
		}
	}
	actions = slices.DeleteFunc(actions, func(name string) bool { return slices.Contains(undos, name) })
	slices.Sort(actions)
	want := slices.Sorted(slices.Values(slices.Concat(asked, leavesNothing)))
	if !slices.Equal(actions, want) {
		t.Errorf("the actions are\n%q, those asked for and those that leave nothing\n%q", actions, want)
	}
}

// readUndos reads a list of records.
func readUndos(list string) (Undos, error) {
	read := func(r *jsonread.Reader, l *Undos) {
		for more := r.Object(); more; more = r.Field() {
			ReadUndos(r, l)
		}
	}
	l, err := jsonread.Document(new(jsonread.Reader), []byte(`{"undo":`+list+`}`), read)
	if err != nil {
		return nil, err
	}
	return *l, nil
}

// What is recorded is read as it was, also what an older homerun wrote, and what
// only a newer one understands.
func TestUndosInJSON(t *testing.T) {
	const text = `[{"kind":"cgroup","name":"/c","inode":7},{"kind":"cgroup","name":"/c/web"},{"kind":"scope","name":"x.scope","inode":8},` +
		`{"kind":"network","name":"/r/c"},{"kind":"intelrdt","name":"{\"Class\":\"/sys/fs/resctrl/web\",\"Monitor\":\"\",\"Unsure\":true}"},` +
		`{"kind":"file","name":"/p"},{"kind":"made","name":"run"},{"kind":"moon","name":"m","inode":9}]`
	want := Undos{RemoveCgroup{Path: "/c", Inode: 7}, RemoveCgroup{Path: "/c/web"}, StopScope{"x.scope", 8}, EndNetwork{"/r/c"},
		LeaveClass{Class: "/sys/fs/resctrl/web", Unsure: true}, RemoveFile{"/p"}, RemoveMade{"run"}, UnknownUndo{"moon", "m", 9}}
	got, err := readUndos(text)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range got {
		kind, name, inode := got.Record(i)
		again := fmt.Sprintf(`{"kind":%q,"name":%q,"inode":%d}`, kind, name, inode)
		if again = strings.Replace(again, `,"inode":0`, "", 1); !strings.Contains(text, again) {
			t.Errorf("%s is not in %s", again, text)
		}
	}
	if got, err := readUndos(`[{"kind":"intelrdt","name":"oh"}]`); err != nil || !slices.Equal(got, Undos{UnknownUndo{"intelrdt", "oh", 0}}) {
		t.Errorf("a class that is none: %+v, %v", got, err)
	}
	for _, bad := range []string{`{}`, `[1]`, `[{"kind":1}]`} {
		if _, err := readUndos(bad); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

func TestUndos(t *testing.T) {
	var list Undos
	if list.Add() || !list.Add(RemoveFile{"/a"}, EndNetwork{"/b"}) || list.Add(EndNetwork{"/b"}) || !list.Add(EndNetwork{"/b"}, EndNetwork{"/c"}) {
		t.Errorf("%+v", list)
	}
	list.Rename(1, "\xff")
	if want := (Undos{RemoveFile{"/a"}, EndNetwork{"\xff"}, EndNetwork{"/c"}}); !slices.Equal(list, want) {
		t.Errorf("%+v, want %+v", list, want)
	}
	if want := []string{"/a", "\xff", "/c"}; !slices.Equal(list.Names(), want) {
		t.Errorf("%q, want %q", list.Names(), want)
	}
}
