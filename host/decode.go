package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Decode reads the JSON form of Facts. A member that nobody knows is an error,
// and so is one missing that every machine has: facts that were mistyped would
// give another machine's plan.
func Decode(text []byte) (*Facts, error) {
	f := &Facts{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if d.More() {
		return nil, errors.New("something follows the facts")
	}
	var there any
	if err := json.Unmarshal(text, &there); err != nil {
		return nil, err
	}
	if name := absent(reflect.TypeFor[Facts](), there, ""); name != "" {
		return nil, fmt.Errorf("%s is missing", name)
	}
	return f, nil
}

// absent is the first member that is always written and is not there.
func absent(t reflect.Type, value any, at string) string {
	switch t.Kind() {
	case reflect.Pointer:
		return absent(t.Elem(), value, at)
	case reflect.Slice:
		list, _ := value.([]any)
		for i, element := range list {
			if found := absent(t.Elem(), element, at+"["+strconv.Itoa(i)+"]"); found != "" {
				return found
			}
		}
	case reflect.Map:
		members, _ := value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if found := absent(t.Elem(), members[name], member(at, name)); found != "" {
				return found
			}
		}
	case reflect.Struct:
		return absentMember(t, value, at)
	}
	return ""
}

func absentMember(t reflect.Type, value any, at string) string {
	members, _ := value.(map[string]any)
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		inside := strings.TrimPrefix(at+"."+name, ".")
		switch value := members[name]; {
		case value != nil:
			if found := absent(t.Field(i).Type, value, inside); found != "" {
				return found
			}
		case !strings.Contains(options, "omit"):
			return inside
		}
	}
	return ""
}
