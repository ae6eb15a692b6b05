package bundle

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// want decodes as encoding/json does, without what Decode leaves out.
func want(t *testing.T, raw []byte) *specs.Spec {
	t.Helper()
	spec := new(specs.Spec)
	if err := json.Unmarshal(raw, spec); err != nil {
		t.Fatal(err)
	}
	if spec.Linux != nil {
		spec.Linux.Seccomp = nil
	}
	spec.Windows, spec.Solaris, spec.VM, spec.ZOS, spec.FreeBSD = nil, nil, nil, nil, nil
	return spec
}

// corpus returns the configs in testdata.
func corpus(t testing.TB) map[string][]byte {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	documents := make(map[string][]byte)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documents[file] = raw
	}
	return documents
}

func TestDecodeAgreesWithEncodingJSON(t *testing.T) {
	for file, raw := range corpus(t) {
		b, err := Decode(raw)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if !reflect.DeepEqual(b.Config, want(t, raw)) {
			t.Errorf("%s: differs from encoding/json", file)
		}
		testSeccomp(t, file, b)
	}
}

func testSeccomp(t *testing.T, file string, b *Bundle) {
	var all specs.Spec
	if err := json.Unmarshal(b.Raw, &all); err != nil {
		t.Fatal(err)
	}
	if all.Linux == nil || all.Linux.Seccomp == nil {
		if b.Seccomp != nil {
			t.Errorf("%s: seccomp = %s", file, b.Seccomp)
		}
		return
	}
	got, err := DecodeSeccomp(b.Seccomp)
	if err != nil || !reflect.DeepEqual(got, all.Linux.Seccomp) {
		t.Errorf("%s: seccomp differs from encoding/json: %v", file, err)
	}
}

func TestDecodeEveryField(t *testing.T) {
	var spec specs.Spec
	fill(reflect.ValueOf(&spec).Elem(), new(int))
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if expected := want(t, raw); !reflect.DeepEqual(b.Config, expected) {
		got, _ := json.Marshal(b.Config)
		wanted, _ := json.Marshal(expected)
		t.Errorf("got  %s\nwant %s", got, wanted)
	}
	testSeccomp(t, "every field", b)
}

// fill gives each part of v another value, so that no field is zero.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 6, 6))
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, key := range []string{"one", "two"} {
			entry := reflect.New(v.Type().Elem()).Elem()
			fill(entry, n)
			v.SetMapIndex(reflect.ValueOf(key), entry)
		}
	case reflect.String:
		v.SetString("value " + strings.Repeat("x", *n%7))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Interface:
	default:
		v.Set(reflect.ValueOf(*n).Convert(v.Type()))
	}
}

func TestDecodeText(t *testing.T) {
	for _, literal := range []string{
		`""`, `"a"`, `"\"\\\/\b\f\n\r\t"`, `"a\u0041b"`, `"\u00e9\u20AC"`, `"\ud83d\ude00"`,
		`"\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\ude00\ud83d"`, `"\ud83d\ud83d\ude00"`, `"é€😀"`, "\"a\xffb\"",
		"\"\xe2\x82\"", "\"\xe2\x82\\n\xac\"", `"\u0000"`, "\"\x7f\"", "\"\u2028\"", `"\ufffd"`,
	} {
		raw := []byte(`{"hostname":` + literal + `}`)
		b, err := Decode(raw)
		if err != nil {
			t.Errorf("%s: %v", literal, err)
			continue
		}
		if expected := want(t, raw).Hostname; b.Config.Hostname != expected {
			t.Errorf("%s: got %q, want %q", literal, b.Config.Hostname, expected)
		}
	}
}

func TestDecodeNull(t *testing.T) {
	raw := []byte(` { "ociVersion" : null, "process": {"user": null, "args": null, "env": [null], "oomScoreAdj": null,
		"terminal": null, "rlimits": [null, {"soft": null}]}, "annotations": {"a": null}, "hooks": null,
		"linux": {"sysctl": null, "seccomp": null, "timeOffsets": {"x": null}, "devices": null}} ` + "\r\n\t")
	b, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(b.Config, want(t, raw)) || b.Seccomp != nil {
		t.Errorf("got %+v", b.Config)
	}
}

func TestDecodeLastDuplicateCounts(t *testing.T) {
	b, err := Decode([]byte(`{"process":{"args":["a"],"cwd":"/"},"process":{"args":["b","c"],"args":["d"]},
		"annotations":{"a":"1","a":"2"},"annotations":{"b":"3","b":"4"},
		"linux":{"seccomp":{"defaultAction":"x"}},"linux":{"seccomp":{"a":1},"seccomp":{"b": [2]}},
		"hostname":"h","hostname":null}`))
	if err != nil {
		t.Fatal(err)
	}
	expected := &specs.Spec{
		Process:     &specs.Process{Args: []string{"d"}},
		Annotations: map[string]string{"b": "4"},
		Linux:       &specs.Linux{},
	}
	if !reflect.DeepEqual(b.Config, expected) || string(b.Seccomp) != `{"b": [2]}` {
		t.Errorf("got %+v, seccomp %s", b.Config, b.Seccomp)
	}
	for _, raw := range []string{`{"linux":{"seccomp":{}},"linux":{}}`, `{"linux":{"seccomp":{}},"linux":null}`} {
		if b, err := Decode([]byte(raw)); err != nil || b.Seccomp != nil {
			t.Errorf("%s: seccomp %s, %v", raw, b.Seccomp, err)
		}
	}
}

func TestDecodeMatchesNamesExactly(t *testing.T) {
	b, err := Decode([]byte(`{"Hostname":1,"HOSTNAME":[],"host\u006eame":"x"}`))
	if err != nil || b.Config.Hostname != "x" {
		t.Errorf("got %v, %v", b, err)
	}
}

func TestListsDoNotShareCapacity(t *testing.T) {
	p, err := DecodeProcess([]byte(`{"args":["a","b"],"env":["c"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _ = append(p.Args, "x"); p.Env[0] != "c" {
		t.Error("append to args changed env")
	}
}

func TestDecodeLongLists(t *testing.T) {
	args := make([]string, 1000)
	raw, _ := json.Marshal(specs.Process{Env: args[:100], Args: args})
	p, err := DecodeProcess(raw)
	if err != nil || len(p.Args) != 1000 || len(p.Env) != 100 {
		t.Errorf("got %d, %v", len(p.Args), err)
	}
}

func BenchmarkDecode(b *testing.B) {
	raw := corpus(b)["testdata/podman.json"]
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}
