package lint

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/jsonread"
	"github.com/homerun-oci/homerun/plain"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Unknown lists the members of a config.json that the specification does not have, which
// every runtime passes over in silence, each with the name that was likely meant. The
// document must be one that can be read.
func Unknown(raw []byte) []Finding {
	var document any
	if json.Unmarshal(raw, &document) != nil {
		return nil
	}
	var list []Finding
	unknown(document, reflect.TypeFor[specs.Spec](), "", func(path, key string, siblings reflect.Type) {
		f := Finding{Kind: KindUnknown, Place: jsonread.Keyed(path, key), Message: "the specification has no such member, and it is ignored"}
		f.Message += suggestion(nearest(key, path, siblings))
		list = append(list, f)
	})
	return list
}

// unknown walks over a value and its type.
func unknown(value any, t reflect.Type, path string, report func(path, key string, siblings reflect.Type)) {
	switch t.Kind() {
	case reflect.Pointer:
		unknown(value, t.Elem(), path, report)
	case reflect.Slice:
		list, _ := value.([]any)
		for i, element := range list {
			unknown(element, t.Elem(), fmt.Sprintf("%s[%d]", path, i), report)
		}
	case reflect.Map:
		members, _ := value.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(members)) {
			unknown(members[key], t.Elem(), jsonread.Keyed(path, key), report)
		}
	case reflect.Struct:
		members, _ := value.(map[string]any)
		known := membersOf(t)
		for _, key := range slices.Sorted(maps.Keys(members)) {
			if inside, ok := known[key]; ok {
				unknown(members[key], inside, jsonread.Keyed(path, key), report)
			} else {
				report(path, key, t)
			}
		}
	}
}

// membersOf are the types of a type's members, by their names in JSON.
func membersOf(t reflect.Type) map[string]reflect.Type {
	members := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(members, membersOf(f.Type))
		case name != "" && name != "-":
			members[name] = f.Type
		}
	}
	return members
}

// otherWords are what other programs call members.
var otherWords = map[string]string{"cmd": "args", "command": "args", "entrypoint": "args", "argv": "args", "environment": "env", "environ": "env", "envs": "env",
	"workdir": "cwd", "workingdir": "cwd", "directory": "cwd", "src": "source", "target": "destination", "dst": "destination", "dest": "destination",
	"fstype": "type", "caps": "capabilities", "gidmap": "gidMappings", "uidmap": "uidMappings", "volumes": "mounts", "binds": "mounts", "tty": "terminal",
	"privileged": "capabilities", "ulimits": "rlimits", "groups": "additionalGids", "memorylimit": "limit", "sysctls": "sysctl"}

// nearest is the name that was likely meant: a member of the same object, or where that
// is elsewhere the path of it; empty where nothing is like it.
func nearest(key, path string, siblings reflect.Type) string {
	known := membersOf(siblings)
	other := ""
	for _, word := range slices.Sorted(maps.Keys(otherWords)) {
		if plain.Distance(strings.ToLower(key), word) <= len(word)/5 {
			other = otherWords[word]
		}
	}
	if known[other] != nil {
		return other
	}
	distance := func(name string) int { return plain.Distance(strings.ToLower(key), strings.ToLower(name)) }
	if best := closest(slices.Sorted(maps.Keys(known)), 1+len(key)/4, distance); best != "" {
		return best
	}
	for _, name := range []string{key, other} {
		if at := find(name, reflect.TypeFor[specs.Spec](), "", 4); name != "" && at != "" && at != jsonread.Keyed(path, key) {
			return at
		}
	}
	return ""
}

// find is the path of the member with a name that is the least deep, if it is at most so
// deep and not in a list or of another system.
func find(name string, t reflect.Type, path string, depth int) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || depth == 0 {
		return ""
	}
	members := membersOf(t)
	if members[name] != nil {
		return jsonread.Keyed(path, name)
	}
	best := ""
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if slices.Contains([]string{"windows", "solaris", "vm", "zos", "freebsd"}, key) {
			continue
		}
		at := find(name, members[key], jsonread.Keyed(path, key), depth-1)
		if at != "" && (best == "" || strings.Count(at, ".") < strings.Count(best, ".")) {
			best = at
		}
	}
	return best
}
