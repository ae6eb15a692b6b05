package store

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/action"
)

// fill gives a value something in each of its members.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)))
		return
	case action.Undos:
		v.Set(reflect.ValueOf(action.Undos{action.RemoveFile{Path: "\"\\\n"}, action.RemoveCgroup{Path: "/c", Inode: 7}}))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key)
			fill(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("a\x00\x1f \"\\/<ä€\u2028\xff\x7f😀")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint64:
		v.SetUint(1<<64 - 1)
	case reflect.Uint8:
		v.SetUint(255)
	case reflect.Int:
		v.SetInt(1<<62 + 1)
	default:
		panic(v.Type())
	}
}

// sameAsJSON wants of text what encoding/json makes of the state.
func sameAsJSON(t *testing.T, what string, s *State) {
	t.Helper()
	type record struct {
		Kind  string `json:"kind"`
		Name  string `json:"name"`
		Inode uint64 `json:"inode,omitempty"`
	}
	type plain State // without a method
	reflected := struct {
		plain
		Undo []record `json:"undo,omitempty"`
	}{plain: plain(*s)}
	for i := range s.Undo {
		kind, name, inode := s.Undo.Record(i)
		reflected.Undo = append(reflected.Undo, record{kind, name, inode})
	}
	want, err := json.Marshal(reflected)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if read, err := parseState(got); s.Version > 0 && (err != nil || read.Raw == nil && !reflect.DeepEqual(read, valid(s))) {
		t.Errorf("%s: %v:\n%+v\n%+v", what, err, read, valid(s))
	}
	// Only members and their values count, not which characters are escaped.
	value := func(text []byte) (v any) {
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v: %s", what, err, text)
		}
		return v
	}
	if !reflect.DeepEqual(value(got), value(want)) {
		t.Errorf("%s:\n%s\n%s", what, got, want)
	}
}

// valid is the state with U+FFFD for what is not UTF-8.
func valid(s *State) State {
	c := *s
	for _, name := range []*string{&c.ID, &c.OCIVersion, &c.Bundle, &c.Rootfs, &c.Cgroup.Manager, &c.Cgroup.Path, &c.Cgroup.Scope} {
		*name = strings.ToValidUTF8(*name, "\ufffd")
	}
	c.Annotations = nil
	for key, value := range s.Annotations {
		if c.Annotations == nil {
			c.Annotations = map[string]string{}
		}
		c.Annotations[strings.ToValidUTF8(key, "\ufffd")] = strings.ToValidUTF8(value, "\ufffd")
	}
	return c
}

// The text that is written by hand has each member of a state, alone and with all
// others, in the form that encoding/json gives it, and leaves out the same; and it is
// read as what it was.
func TestTextIsThatOfJSON(t *testing.T) {
	sameAsJSON(t, "empty", &State{})
	var whole State
	all := reflect.ValueOf(&whole).Elem()
	fill(all)
	sameAsJSON(t, "whole", &whole)
	for i := range all.NumField() {
		s := State{Version: 1}
		one := reflect.ValueOf(&s).Elem().Field(i)
		name := all.Type().Field(i).Name
		if one.Kind() == reflect.Pointer {
			one.Set(reflect.New(one.Type().Elem()))
			sameAsJSON(t, name+", empty", &s)
		}
		fill(one)
		sameAsJSON(t, name, &s)
	}
	for i := range reflect.TypeFor[Cgroup]().NumField() {
		s := State{Version: 1}
		fill(reflect.ValueOf(&s.Cgroup).Elem().Field(i))
		sameAsJSON(t, "cgroup", &s)
	}
}

// Names that are no text are read, and what cannot be one is an error.
func TestRawNamesAreChecked(t *testing.T) {
	for text, want := range map[string]bool{`{"bundle":"YQ==","undo":{"0":"Yg=="}}`: true, `{"bundle":"!"}`: false, `{"undo":{"x":"YQ=="}}`: false} {
		s := State{Version: 1, Undo: action.Undos{action.RemoveCgroup{Path: "a"}}}
		plain, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		read, err := parseState(append(plain[:len(plain)-1], `,"raw":`+text+`}`...))
		if (err == nil) != want || want && read.Bundle != "a" {
			t.Errorf("%s: %+v, %v", text, read, err)
		}
	}
}
