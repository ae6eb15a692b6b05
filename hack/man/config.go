package main

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// member is one of config.json's, by the name that messages give it, with [] for an
// index or a key.
type member struct{ name, kind string }

// members are all that have a meaning on Linux; others are of other platforms.
func members() (linux []member, others []string) {
	return membersOf("", reflect.TypeFor[specs.Spec]())
}

func membersOf(prefix string, t reflect.Type) (linux []member, others []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			more, _ := membersOf(prefix, f.Type)
			linux = append(linux, more...)
			continue
		}
		name = prefix + name
		if p := f.Tag.Get("platform"); p != "" && !slices.Contains(strings.Split(p, ","), "linux") {
			others = append(others, name)
			continue
		}
		kind, path, inner := kindOf(f.Type)
		linux = append(linux, member{name, kind})
		if inner != nil {
			more, moreOthers := membersOf(name+path+".", inner)
			linux, others = append(linux, more...), append(others, moreOthers...)
		}
	}
	return linux, others
}

// kindOf names a type as JSON does. inner is the type of what is in it, if that has
// members, and path leads there.
func kindOf(t reflect.Type) (kind, path string, inner reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Struct:
		return "object", "", t
	case reflect.Slice:
		kind, path, inner = kindOf(t.Elem())
		return "array of " + plural(kind), "[]" + path, inner
	case reflect.Map:
		kind, path, inner = kindOf(t.Elem())
		return "object of " + plural(kind), "[]" + path, inner
	case reflect.Bool:
		return "boolean", "", nil
	case reflect.String:
		return "string", "", nil
	}
	return "number", "", nil
}

func plural(kind string) string { return kind + "s" }

// withTypes is an item's head with the types of the members, each on a line of its own.
func withTypes(b block) string {
	var list []string
	linux, _ := members()
	for _, term := range b.terms() {
		i := slices.IndexFunc(linux, func(m member) bool { return matches(term, m.name) })
		if i < 0 {
			list = append(list, "`"+term+"`")
			continue
		}
		list = append(list, "`"+term+"` ("+linux[i].kind+")")
	}
	return strings.Join(list, "\n")
}

// matches reports whether a term, in which * stands for a part of a name, is about a
// member.
func matches(term, name string) bool {
	quote := strings.NewReplacer("[", `\[`)
	ok, err := path.Match(strings.ReplaceAll(quote.Replace(term), ".", "/"), strings.ReplaceAll(name, ".", "/"))
	return ok && err == nil
}

// list is a list that the code has.
func (m *manual) list(name string) (string, error) {
	f := container.Features(container.Helpers{})
	_, others := members()
	var list []string
	switch name {
	case "members of other platforms":
		list = others
	case "namespaces":
		list = f.Linux.Namespaces
	case "mount options":
		list = f.MountOptions
	case "capabilities":
		list = f.Linux.Capabilities
	case "seccomp actions":
		list = f.Linux.Seccomp.Actions
	case "seccomp operators":
		list = f.Linux.Seccomp.Operators
	case "seccomp flags":
		list = f.Linux.Seccomp.KnownFlags
	case "memory policies":
		list = append(slices.Clone(f.Linux.MemoryPolicy.Modes), f.Linux.MemoryPolicy.Flags...)
	default:
		return "", fmt.Errorf("no list @%s@", name)
	}
	return "`" + strings.Join(list, "`,\n`") + "`.", nil
}
