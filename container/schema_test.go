package container_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// schema is as much of JSON Schema as docs/state.schema.json uses.
type schema struct {
	Type                 string             `json:"type"`
	Const                any                `json:"const"`
	Enum                 []any              `json:"enum"`
	Pattern              string             `json:"pattern"`
	Format               string             `json:"format"`
	Minimum              *float64           `json:"minimum"`
	MinLength            int                `json:"minLength"`
	MaxLength            int                `json:"maxLength"`
	Required             []string           `json:"required"`
	Properties           map[string]*schema `json:"properties"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
	Items                *schema            `json:"items"`

	ID          string `json:"$id"`
	Schema      string `json:"$schema"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

// check reports what is wrong with a value.
func (s *schema) check(at string, v any) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, at+": "+fmt.Sprintf(format, args...)) }
	if s.Const != nil && v != s.Const {
		fault("%v is not %v", v, s.Const)
	}
	if s.Enum != nil && !slices.Contains(s.Enum, v) {
		fault("%v is none of %v", v, s.Enum)
	}
	if s.Type != "" && s.Type != typeOf(v) {
		fault("is %s, not %s", typeOf(v), s.Type)
		return faults
	}
	switch v := v.(type) {
	case string:
		if s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(v) || len(v) < s.MinLength || s.MaxLength > 0 && len(v) > s.MaxLength {
			fault("%q does not match", v)
		}
		if _, err := time.Parse(time.RFC3339, v); s.Format == "date-time" && err != nil {
			fault("%v", err)
		}
	case float64:
		if s.Minimum != nil && v < *s.Minimum {
			fault("%v is below %v", v, *s.Minimum)
		}
	case []any:
		for i, e := range v {
			faults = append(faults, s.Items.check(fmt.Sprintf("%s[%d]", at, i), e)...)
		}
	case map[string]any:
		faults = append(faults, s.object(at, v)...)
	}
	return faults
}

func (s *schema) object(at string, v map[string]any) []string {
	var faults []string
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			faults = append(faults, at+"."+name+": is missing")
		}
	}
	for name, value := range v {
		p := s.Properties[name]
		if p == nil && string(s.AdditionalProperties) != "false" {
			p = &schema{}
			_ = json.Unmarshal(s.AdditionalProperties, p)
		}
		if p == nil {
			faults = append(faults, at+"."+name+": is unknown")
			continue
		}
		faults = append(faults, p.check(at+"."+name, value)...)
	}
	return faults
}

func typeOf(v any) string {
	switch v := v.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	}
	return "null"
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	f, err := os.Open("../docs/state.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, d := &schema{}, json.NewDecoder(f)
	d.DisallowUnknownFields() // nothing in it goes unchecked
	if err := d.Decode(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func faultsOf(t *testing.T, s *schema, text []byte) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return s.check("state", v)
}

// TestStateSchema holds the state of a real container, and one with every
// member, against the schema.
func TestStateSchema(t *testing.T) {
	s := readSchema(t)
	ctx := context.Background()
	runtime, bundle, remove := scratch("sleep", "60")
	defer remove()
	bundle.Config.Annotations = map[string]string{"a": "b"}
	c, err := runtime.Create(ctx, container.Request{ID: "web", Bundle: bundle, Streams: container.OwnStreams()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text, err := os.ReadFile(c.Directory() + "/state.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := runtime.ForceDelete(ctx, "web"); err != nil {
		t.Error(err)
	}
	_, _ = unix.Wait4(c.State.Pid, nil, 0, nil)
	if faults := faultsOf(t, s, text); faults != nil {
		t.Errorf("%s: %q", text, faults)
	}
	full, err := json.Marshal(store.State{Version: store.StateVersion, ID: "x", Created: time.Now(), Pid: 1, StartTime: 1, PIDNamespace: 1, Steps: 1, RootfsDevice: 1, RootfsInode: 1,
		Chroot: true, Cgroup: store.Cgroup{Manager: "disabled", Path: "/p", Scope: "s", LimitsAbove: true, OOMKills: 1}, Annotations: map[string]string{"a": "b"},
		Undo: action.Undos{action.RemoveCgroup{Path: "/c", Inode: 1}}, Waiter: &proc.ID{Pid: 1, StartTime: 1}, Members: &store.Members{Inode: 1, ID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if faults := faultsOf(t, s, full); faults != nil {
		t.Errorf("%s: %q", full, faults)
	}
}

// TestSchemaRefuses checks the validator itself.
func TestSchemaRefuses(t *testing.T) {
	s := readSchema(t)
	const base = `"version":1,"id":"a","ociVersion":"","bundle":"","rootfs":"","created":"2026-01-02T03:04:05Z","uid":0,"namespaces":0`
	if faults := faultsOf(t, s, []byte("{"+base+"}")); faults != nil {
		t.Errorf("%q", faults)
	}
	for _, more := range []string{`"version":2`, `"id":"a/b"`, `"created":"today"`, `"uid":-1`, `"pid":"1"`, `"pid":1.5`, `"x":1`,
		`"undo":[{"kind":"nothing","name":"a"}]`, `"undo":[{"kind":"file"}]`, `"annotations":{"a":1}`, `"cgroup":{"manager":"x"}`} {
		if faults := faultsOf(t, s, []byte("{"+base+","+more+"}")); len(faults) != 1 {
			t.Errorf("%s: %q", more, faults)
		}
	}
	if faults := faultsOf(t, s, []byte("{}")); len(faults) != 8 {
		t.Errorf("%q", faults)
	}
}
