package limits_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/limits"
	"github.com/homerun-oci/homerun/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rendering is what one linux.resources, with annotations, became before limits
// were typed: text for the files, which was read again for the properties. The
// resources are random (commit cf40fc0's code rendered them).
type rendering struct {
	Resources   *specs.LinuxResources
	Annotations map[string]string
	// Files are the writes, see textOf.
	Files, Warnings []string
	Limits          bool
	Controllers     string
	// Properties are NAME TYPE VALUE, and then what to write where systemd does
	// not know the property: #N for number N of Files, or #WRITE.
	Properties []string
	// Left are the numbers of the files that no property stands for.
	Left []string
	// Annotated are the writes of the annotations' limits.
	Annotated, Ignored []string
}

const pointer = "linux.resources."

func textOf(w cgroupv2.Write) string {
	s := w.File + "=" + w.Value + " <" + strings.TrimPrefix(w.Pointer, pointer)
	for _, e := range w.Tolerate {
		s += fmt.Sprintf(" ?%d", int(e))
	}
	if w.Retry {
		s += " retry"
	}
	if w.Else != nil {
		s += " | " + textOf(*w.Else)
	}
	if w.Check != nil {
		s += fmt.Sprintf(" >%d %v %s", w.Check.Limit, w.Check.Files, strings.TrimPrefix(w.Check.Pointer, pointer))
	}
	return s
}

func texts(set limits.Set) (list []string) {
	for _, w := range cgroupv2.Files(set) {
		list = append(list, textOf(w))
	}
	return list
}

// numbers names writes by their last place among all.
func numbers(all []string, set limits.Set) (list []string) {
	for _, text := range texts(set) {
		for i, one := range slices.Backward(all) {
			if one == text {
				text = fmt.Sprint(i)
				break
			}
		}
		list = append(list, text)
	}
	return list
}

// render makes the same of the same input, by today's code.
func render(t *testing.T, in rendering) rendering {
	t.Helper()
	set, warnings, err := limits.Of(in.Resources)
	if err != nil {
		t.Fatal(err)
	}
	out := rendering{Resources: in.Resources, Annotations: in.Annotations, Files: texts(set), Warnings: warnings,
		Limits: set.Restricts(), Controllers: strings.Join(set.Controllers(), " ")}
	r, err := systemd.Properties(systemd.Scope{Unit: "a.scope", Slice: "b.slice"}, set, in.Annotations)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Properties {
		if p.Pointer == "" {
			continue // the scope's own
		}
		value := strings.ReplaceAll(strings.ReplaceAll(fmt.Sprintf("%T %v", p.Value, p.Value), "systemd.", ""), "18446744073709551615", "inf")
		line := p.Name + " " + value
		for _, n := range numbers(out.Files, p.Limits) {
			line += " #" + n
		}
		if len(p.Limits) == 0 {
			line += " <" + p.Pointer
		} else if p.Pointer != p.Limits[0].Place() {
			t.Errorf("%s leads to %s, and its limit to %s", p.Name, p.Pointer, p.Limits[0].Place())
		}
		out.Properties = append(out.Properties, line)
	}
	out.Left, out.Annotated, out.Ignored = numbers(out.Files, r.Left), texts(r.Limits), r.Ignored
	return out
}

// Files and properties are what they were when each was made of the other's text.
func TestRenderings(t *testing.T) {
	text, err := os.ReadFile("testdata/renderings.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []rendering
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) != 300 {
		t.Fatal(len(cases), err)
	}
	for i, want := range cases {
		got, _ := json.MarshalIndent(render(t, want), "", " ")
		if wanted, _ := json.MarshalIndent(want, "", " "); string(got) != string(wanted) {
			t.Errorf("case %d:\n%s\nwant\n%s", i, got, wanted)
		}
	}
}
