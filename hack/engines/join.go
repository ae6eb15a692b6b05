package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// kept is what the script printed of a run: the lines before the first step, and the text of each group, in their order.
type kept struct {
	head   []string
	names  []string
	groups map[string]string
}

// join puts the groups of one file into another, in the place of those that have the same names. Both must be of the same versions.
// Without the other file this one becomes it.
func join(into, from string) error {
	fresh, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(into)
	if os.IsNotExist(err) {
		return os.Rename(from, into)
	} else if err != nil {
		return err
	}
	text, err := joined(string(before), string(fresh))
	if err != nil {
		return fmt.Errorf("%s and %s: %w", into, from, err)
	}
	if err := os.WriteFile(into, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Remove(from)
}

func joined(before, fresh string) (string, error) {
	a, b := split(before), split(fresh)
	isOther := func(line string) bool { return strings.HasPrefix(line, "#day ") || strings.HasPrefix(line, "#group ") }
	versions := func(k kept) []string { return slices.DeleteFunc(slices.Clone(k.head), isOther) }
	if !slices.Equal(versions(a), versions(b)) {
		return "", fmt.Errorf("of other versions: %q, and %q; run the whole part", versions(a), versions(b))
	}
	head := append(a.head, b.head...)
	slices.Sort(head) // so that equal lines are neighbours; nobody minds their order
	for name, text := range b.groups {
		a.groups[name] = text
	}
	var out strings.Builder
	for _, line := range slices.Compact(head) {
		fmt.Fprintln(&out, line)
	}
	names := append(a.names, b.names...)
	slices.Sort(names) // as the shell lists the functions
	for _, name := range slices.Compact(names) {
		out.WriteString(a.groups[name])
	}
	return out.String() + "#end\n", nil
}

// split takes apart what the script printed. A step's lines begin with #words or #step, and end with #left.
func split(text string) kept {
	k := kept{groups: map[string]string{}}
	name, lines := "", ""
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "#end":
			continue
		case "#version", "#runtime", "#day", "#group":
			k.head = append(k.head, strings.TrimSpace(line))
			continue
		case "#step":
			name = step{name: rest}.group()
		}
		lines += line
		if key == "#left" {
			if _, had := k.groups[name]; !had {
				k.names = append(k.names, name)
			}
			k.groups[name] += lines
			lines = ""
		}
	}
	return k
}
