// Package action has what the runtime does in the steps of a plan, as values.
//
// # Theory of operation
//
// While the stage runs the container's side of a plan, the runtime runs its own:
// it makes the cgroup, writes id maps, asks systemd for a scope, runs hooks. What
// it does, and in which order, package compile has decided before anything is
// done: an action holds what it needs as plain values, and prints its line. Package
// launch does those about the stage, package cgroup those on the cgroup, and package
// container the rest.
//
// What undoes an action is an action too, an Undo: it prints its line, and is done by
// the same code. [UndoOf] knows it of each. It is recorded in state.json before the
// other one is done, and again when more is known of what that has made. What was
// recorded is undone, last first, when a later step fails, and by delete; what was not
// done is not undone.
package action

import "strconv"

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
