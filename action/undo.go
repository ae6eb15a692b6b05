package action

import (
	"encoding/json"
	"path"
	"slices"

	"github.com/homerun-oci/homerun/jsonread"
	"github.com/homerun-oci/homerun/plan"
)

// Undo is an action that undoes another one. What it undoes may have been done or
// not, and may have been undone already: neither is an error.
type Undo interface {
	plan.Action
	// record is how state.json has it; without a kind it is not recorded.
	record() record
}

// UndoOf is what undoes an action; nil for one that leaves nothing: an action that leaves something has a case here. Were it
// a method that some have, Go would make a table for each type that it asks for it: a hundredth of a run's own time.
func UndoOf(a plan.Action) Undo {
	switch a := a.(type) {
	case MakeDirectory:
		return RemoveDirectory(a)
	case StartStage:
		return KillStage{}
	case MakeCgroup:
		return RemoveCgroup{Path: a.Mount + a.Choice.Path, Above: path.Dir(a.Choice.Path) != path.Clean("/"+a.Choice.Base)}
	case StartScope:
		return StopScope{Unit: a.Unit}
	case StartNetwork:
		return EndNetwork{a.Directory}
	case JoinClass:
		return LeaveClass{Unsure: true}
	case RecordMade:
		return RemoveMade{}
	}
	return nil
}

// RemoveDirectory removes the container's directory, whose name makes the container
// exist. It is not recorded: it comes last.
type RemoveDirectory struct{ Path string }

// Line implements plan.Action.
func (a RemoveDirectory) Line() string { return "remove the directory " + a.Path }

func (a RemoveDirectory) record() record { return record{} }

// KillStage ends the stage, or what it has become. It is not recorded: it comes
// first.
type KillStage struct{}

// Line implements plan.Action.
func (a KillStage) Line() string { return "kill the stage" }

func (a KillStage) record() record { return record{} }

// RemoveCgroup removes a cgroup that was made for the container, or above its own.
type RemoveCgroup struct {
	Path string
	// Inode is its number. Without one it is not known whether it was made.
	Inode uint64
	// Above: those above it that were made go too, each of which is recorded as one
	// of its own.
	Above bool
}

// Line implements plan.Action.
func (a RemoveCgroup) Line() string {
	text := "remove the cgroup " + a.Path
	if a.Above {
		text += ", and those above it that were made"
	}
	return text
}

func (a RemoveCgroup) record() record { return record{kindCgroup, a.Path, a.Inode} }

// StopScope stops a systemd scope.
type StopScope struct {
	Unit string
	// Inode is the number of its cgroup. Without one it is not known whether a scope
	// of that name is the container's.
	Inode uint64
}

// Line implements plan.Action.
func (a StopScope) Line() string { return "stop the scope " + a.Unit }

func (a StopScope) record() record { return record{kindScope, a.Unit, a.Inode} }

// EndNetwork ends the network's helper.
type EndNetwork struct {
	// Directory is the container's, where the helper listens.
	Directory string
}

// Line implements plan.Action.
func (a EndNetwork) Line() string { return "end homerun-net" }

func (a EndNetwork) record() record { return record{kindNetwork, a.Directory, 0} }

// LeaveClass removes what was made of a class of resctrl.
type LeaveClass struct {
	// Class and Monitor are directories; empty where nothing was made.
	Class, Monitor string
	// Unsure: it is not known whether they were made.
	Unsure bool `json:",omitempty"`
}

// Line implements plan.Action.
func (a LeaveClass) Line() string { return "remove the class, if it was made" }

func (a LeaveClass) record() record {
	text, _ := json.Marshal(a) // two strings and a boolean
	return record{kindClass, string(text), 0}
}

// RemoveFile removes a file of the host's that a kill may leave, as a pid file's
// temporary one.
type RemoveFile struct{ Path string }

// Line implements plan.Action.
func (a RemoveFile) Line() string { return "remove the file " + a.Path }

func (a RemoveFile) record() record { return record{kindFile, a.Path, 0} }

// RemoveMade removes an empty directory or file that was made in the container's
// root for a mount.
type RemoveMade struct {
	// Path is in the root; empty for all that was made there, each of which is
	// recorded as one of its own.
	Path string
}

// Line implements plan.Action.
func (a RemoveMade) Line() string {
	if a.Path == "" {
		return "remove what was made in the root"
	}
	return "remove " + a.Path + ", which was made in the root"
}

func (a RemoveMade) record() record { return record{kindMade, a.Path, 0} }

// UnknownUndo is one that a homerun to come has recorded.
type UnknownUndo struct {
	Kind, Name string
	Inode      uint64
}

// Line implements plan.Action.
func (a UnknownUndo) Line() string { return "undo " + quoted(a.Kind) + " " + quoted(a.Name) }

func (a UnknownUndo) record() record { return record(a) }

// Undos are what is to be undone, in the order in which it was done. In state.json they
// are what docs/state.schema.json says of undo.
type Undos []Undo

// record is an Undo in state.json: its kind, name, and inode, which is left out when 0.
type record struct {
	Kind, Name string
	Inode      uint64
}

// Kinds of records.
const (
	kindCgroup  = "cgroup"
	kindScope   = "scope"
	kindNetwork = "network"
	kindClass   = "intelrdt"
	kindFile    = "file"
	kindMade    = "made"
)

// undo is what a record says.
func (r record) undo() Undo {
	switch r.Kind {
	case kindCgroup:
		return RemoveCgroup{Path: r.Name, Inode: r.Inode}
	case kindScope:
		return StopScope{Unit: r.Name, Inode: r.Inode}
	case kindNetwork:
		return EndNetwork{r.Name}
	case kindFile:
		return RemoveFile{r.Name}
	case kindMade:
		return RemoveMade{r.Name}
	case kindClass:
		var class LeaveClass
		if json.Unmarshal([]byte(r.Name), &class) == nil {
			return class
		}
	}
	return UnknownUndo(r)
}

// ReadUndos reads a list of records.
func ReadUndos(r *jsonread.Reader, l *Undos) {
	var list []record
	jsonread.List(r, &list, readRecord)
	*l = nil
	for _, u := range list {
		*l = append(*l, u.undo())
	}
}

func readRecord(r *jsonread.Reader, v *record) {
	for more := r.Object(); more; more = r.Field() {
		switch r.Key {
		case "kind":
			jsonread.Text(r, &v.Kind)
		case "name":
			jsonread.Text(r, &v.Name)
		case "inode":
			jsonread.Unsigned(r, &v.Inode)
		default:
			r.Skip()
		}
	}
}

// Record is the record at an index.
func (l Undos) Record(i int) (kind, name string, inode uint64) {
	r := l[i].record()
	return r.Kind, r.Name, r.Inode
}

// Names are the names in the records, for which JSON may have no characters.
func (l Undos) Names() []string {
	var names []string
	for _, u := range l {
		names = append(names, u.record().Name)
	}
	return names
}

// Rename gives the record at an index another name.
func (l Undos) Rename(i int, name string) {
	r := l[i].record()
	r.Name = name
	l[i] = r.undo()
}

// Add adds what is not in the list yet, and reports whether it added anything.
func (l *Undos) Add(more ...Undo) (added bool) {
	for _, u := range more {
		if !slices.Contains(*l, u) {
			*l = append(*l, u)
			added = true
		}
	}
	return added
}
