// Package action has what the runtime does in the steps of a plan, as values.
//
// # Theory of operation
//
// While the stage runs the container's side of a plan, the runtime runs its own:
// it makes the cgroup, writes id maps, asks systemd for a scope, runs hooks. What
// it does, and in which order, package compile has decided before anything is
// done: an action holds what it needs as plain values, prints its line, and
// names what undoes it. Package container does it.
//
// Each action that leaves something behind is recorded before it is done, and
// what it made is recorded after it. What was recorded is undone, last first, when
// a later step fails, and by delete.
package action

import "strconv"

// Undo says what undoes an action: "remove the cgroup /sys/fs/cgroup/a".
// Empty for one that leaves nothing.
type Undo interface {
	Undo() string
}

// line is an action as a verb with its arguments.
func line(verb string, arguments ...string) string {
	text := verb + "("
	for i, a := range arguments {
		if i > 0 {
			text += ", "
		}
		text += a
	}
	return text + ")"
}

func quoted(s string) string { return strconv.Quote(s) }

// UndoOf is what undoes an action; empty for one that leaves nothing.
func UndoOf(a any) string {
	if u, ok := a.(Undo); ok {
		return u.Undo()
	}
	return ""
}
