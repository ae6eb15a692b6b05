package container

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// encoder is JSON while it is written: what encoding/json would write of the types of
// a config.json. That studies, before it begins, all types that a value could hold,
// those of Windows too, which takes longer than the start of a container.
type encoder []byte

// encode is a value as JSON.
func encode(v any, raw map[string][]byte) ([]byte, error) {
	e := make(encoder, 0, 16<<10)
	err := e.value(reflect.ValueOf(v), raw)
	return e, err
}

// value adds a value. Members of structs that raw names are JSON already.
func (e *encoder) value(v reflect.Value, raw map[string][]byte) error {
	switch v.Kind() {
	case reflect.String:
		e.quote(v.String())
	case reflect.Bool:
		*e = strconv.AppendBool(*e, v.Bool())
	case reflect.Int, reflect.Int64:
		*e = strconv.AppendInt(*e, v.Int(), 10)
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		*e = strconv.AppendUint(*e, v.Uint(), 10)
	case reflect.Struct:
		return e.members(v, raw)
	case reflect.Pointer:
		if !v.IsNil() {
			return e.value(v.Elem(), raw)
		}
		*e = append(*e, "null"...)
	case reflect.Slice:
		switch list := v.Interface().(type) {
		case []string:
			e.strings(list)
		case []specs.LinuxSyscall:
			return e.syscalls(list)
		default:
			return e.list(v, raw)
		}
	default:
		text, err := json.Marshal(v.Interface())
		*e = append(*e, text...)
		return err
	}
	return nil
}

func (e *encoder) strings(list []string) {
	_ = e.sequence(list == nil, len(list), func(i int) error {
		e.quote(list[i])
		return nil
	})
}

// syscalls adds what is most of a config.json that has a filter: by reflection that takes
// three hundredths of a run.
func (e *encoder) syscalls(list []specs.LinuxSyscall) error {
	return e.sequence(list == nil, len(list), func(i int) error { return e.syscall(&list[i]) })
}

func (e *encoder) syscall(s *specs.LinuxSyscall) (err error) {
	*e = append(*e, `{"names":`...)
	e.strings(s.Names)
	*e = append(*e, `,"action":`...)
	e.quote(string(s.Action))
	if s.ErrnoRet != nil {
		*e = strconv.AppendUint(append(*e, `,"errnoRet":`...), uint64(*s.ErrnoRet), 10)
	}
	if len(s.Args) > 0 {
		*e = append(*e, `,"args":`...)
		err = e.list(reflect.ValueOf(s.Args), nil)
	}
	*e = append(*e, '}')
	return err
}

func (e *encoder) list(v reflect.Value, raw map[string][]byte) error {
	return e.sequence(v.IsNil(), v.Len(), func(i int) error { return e.value(v.Index(i), raw) })
}

// sequence adds a list of n, each of which add adds.
func (e *encoder) sequence(isNil bool, n int, add func(i int) error) error {
	if isNil {
		*e = append(*e, "null"...)
		return nil
	}
	*e = append(*e, '[')
	for i := range n {
		if i > 0 {
			*e = append(*e, ',')
		}
		if err := add(i); err != nil {
			return err
		}
	}
	*e = append(*e, ']')
	return nil
}

func (e *encoder) members(v reflect.Value, raw map[string][]byte) error {
	before := byte('{')
	for i := range v.NumField() {
		field, kind := v.Field(i), v.Type().Field(i)
		name, option, _ := strings.Cut(kind.Tag.Get("json"), ",")
		ready := raw[name]
		if ready == nil && option == "omitempty" && isEmpty(field) {
			continue
		}
		*e = append(*e, before)
		before = ','
		if kind.Anonymous { // the members are those of the outer struct
			at := len(*e)
			if err := e.members(field, raw); err != nil {
				return err
			}
			*e = slices.Delete((*e)[:len(*e)-1], at, at+1)
			continue
		}
		*e = append(append(append(*e, '"'), name...), `":`...)
		if ready != nil {
			*e = append(*e, ready...)
		} else if err := e.value(field, raw); err != nil {
			return err
		}
	}
	if before == '{' {
		*e = append(*e, before)
	}
	*e = append(*e, '}')
	return nil
}

// isEmpty reports what omitempty asks.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// quote adds a string. Names need no more than quotes.
func (e *encoder) quote(text string) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(text) // a string cannot fail
			*e = append(*e, quoted...)
			return
		}
	}
	*e = append(append(append(*e, '"'), text...), '"')
}
