package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// cmdConfig changes config.json.
func cmdConfig(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) == 0, "config EDIT...")
	for _, a := range args {
		edit(ts, a)
	}
}

// edit makes one change: PATH=VALUE sets, PATH+=VALUE appends, -PATH removes.
// A path is like process.user.uid or mounts[2].options; objects on the way are
// made. The value is JSON, or else a string.
func edit(ts *script, change string) {
	name := configFile(ts)
	text, err := os.ReadFile(name)
	ts.Check(err)
	var config any
	ts.Check(json.Unmarshal(text, &config))
	config, err = apply(config, change)
	if err != nil {
		ts.Fatalf("config %s: %v", change, err)
	}
	text, err = json.MarshalIndent(config, "", "\t")
	ts.Check(err)
	ts.Check(os.WriteFile(name, text, 0o644))
}

func apply(config any, change string) (any, error) {
	if path, ok := strings.CutPrefix(change, "-"); ok {
		return set(config, steps(path), func(any) (any, bool) { return nil, false })
	}
	path, text, ok := strings.Cut(change, "=")
	if !ok {
		return nil, fmt.Errorf("want PATH=VALUE")
	}
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		value = text
	}
	if path, ok = strings.CutSuffix(path, "+"); ok {
		return set(config, steps(path), func(old any) (any, bool) {
			list, _ := old.([]any)
			return append(list, value), true
		})
	}
	return set(config, steps(path), func(any) (any, bool) { return value, true })
}

// steps splits a path; an index is a step of its own.
func steps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// set returns a value with what lies at path changed; change may remove it.
func set(v any, path []string, change func(any) (any, bool)) (any, error) {
	if list, ok := v.([]any); ok {
		return setElement(list, path, change)
	}
	object, ok := v.(map[string]any)
	if !ok {
		if v != nil {
			return nil, fmt.Errorf("%s is not in an object", path[0])
		}
		object = make(map[string]any)
	}
	if len(path) > 1 {
		inner, err := set(object[path[0]], path[1:], change)
		object[path[0]] = inner
		return object, err
	}
	if value, keep := change(object[path[0]]); keep {
		object[path[0]] = value
	} else {
		delete(object, path[0])
	}
	return object, nil
}

func setElement(list []any, path []string, change func(any) (any, bool)) (any, error) {
	i, err := strconv.Atoi(path[0])
	if err != nil || i >= len(list) {
		return nil, fmt.Errorf("no element %s", path[0])
	}
	if len(path) > 1 {
		list[i], err = set(list[i], path[1:], change)
		return list, err
	}
	if value, keep := change(list[i]); keep {
		list[i] = value
		return list, nil
	}
	return append(list[:i], list[i+1:]...), nil
}
