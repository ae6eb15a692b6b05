package bundle

import (
	"bytes"
	"encoding/json"
	"github.com/homerun-oci/homerun/jsonread"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/homerun-oci/homerun/fault"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzDecode holds Decode and its kin against encoding/json, wherever they are
// meant to agree, and the errors of the decoder against its own positions.
func FuzzDecode(f *testing.F) {
	for _, raw := range corpus(f) {
		f.Add(raw)
	}
	for _, raw := range []string{
		`{"args":["a\u00e9\ud83d\ude00"],"user":{"uid":1,"umask":18},"oomScoreAdj":-5,"terminal":true}`,
		`{"annotations":{"a":"b"},"mounts":[{"options":["ro"]}],"x":[1.5e3,{"y":null}]}`,
		`{"pids":{"limit":1},"blockIO":{"weightDevice":[{"major":1,"weight":65535}]},"unified":{"a":"b"}}`,
		`{"syscalls":[{"names":["a"],"args":[{"index":0,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}`,
	} {
		f.Add([]byte(raw))
	}
	names := make(map[string]string)
	propertyNames(reflect.TypeFor[specs.Spec](), names)
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Decode(raw)
		if err == nil {
			b.Check()
		}
		checkError(t, raw, err)
		process, processErr := DecodeProcess(raw)
		resources, resourcesErr := DecodeResources(raw)
		seccomp, seccompErr := DecodeSeccomp(raw)
		if !alike(raw, names) {
			return
		}
		if err != nil {
			b = new(Bundle)
		}
		agree(t, raw, b.Config, err)
		agree(t, raw, process, processErr)
		agree(t, raw, resources, resourcesErr)
		agree(t, raw, seccomp, seccompErr)
	})
}

// checkError wants each error to have a path that exists, up to its last step.
func checkError(t *testing.T, raw []byte, err error) {
	if err == nil {
		return
	}
	e := err.(*fault.Error)
	_, _, ok := jsonread.Position(raw, e.Place)
	if e.Line < 1 || e.Column < 1 || e.Why == "" || !ok && len(bytes.TrimLeft(raw, " \r\n\t")) > 0 {
		t.Fatalf("%q: %+v", raw, e)
	}
}

func agree[T any](t *testing.T, raw []byte, got *T, err error) {
	t.Helper()
	expected := new(T)
	jsonErr := json.Unmarshal(raw, expected)
	if string(bytes.Trim(raw, " \r\n\t")) == "null" {
		return
	}
	if (err == nil) != (jsonErr == nil) {
		t.Fatalf("%q as %T: %v, but encoding/json: %v", raw, got, err, jsonErr)
	}
	if err == nil && !reflect.DeepEqual(got, expected) {
		t.Fatalf("%q as %T: got %+v, want %+v", raw, got, got, expected)
	}
}

// alike reports whether raw is free of that in which Decode and encoding/json
// differ by intent, or is not even JSON.
func alike(raw []byte, names map[string]string) bool {
	if !json.Valid(raw) {
		return !bytes.Contains(raw, []byte(strings.Repeat("[", 900)))
	}
	if !utf8.Valid(raw) || bytes.Contains(raw, []byte("-0")) {
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return alikeValue(decoder, names, 0)
}

func alikeValue(decoder *json.Decoder, names map[string]string, depth int) bool {
	token, err := decoder.Token()
	if err != nil || depth > 900 {
		return false
	}
	switch token {
	case json.Delim('['):
		for decoder.More() {
			if !alikeValue(decoder, names, depth+1) {
				return false
			}
		}
		decoder.Token()
	case json.Delim('{'):
		return alikeObject(decoder, names, depth)
	}
	return true
}

func alikeObject(decoder *json.Decoder, names map[string]string, depth int) bool {
	seen := make(map[string]bool)
	for decoder.More() {
		token, _ := decoder.Token()
		key, _ := token.(string)
		folded := fold(key)
		if name, known := names[folded]; known && name != key || seen[folded] || skipped(key) {
			return false
		}
		seen[folded] = true
		if !alikeValue(decoder, names, depth+1) {
			return false
		}
	}
	decoder.Token()
	return true
}

// fold maps names that encoding/json takes for one to one. The two runes are
// all that fold to ASCII letters.
func fold(key string) string {
	return strings.NewReplacer("\u017f", "s", "\u212a", "k").Replace(strings.ToLower(key))
}

func skipped(key string) bool {
	switch key {
	case "seccomp", "windows", "solaris", "vm", "zos", "freebsd":
		return true
	}
	return false
}

// propertyNames gathers the JSON names in a type by their folded form.
func propertyNames(t reflect.Type, names map[string]string) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		propertyNames(t.Elem(), names)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names[fold(name)] = name
			propertyNames(f.Type, names)
		}
	}
}
