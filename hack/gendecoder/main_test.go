package main

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestCommittedFileIsUpToDate(t *testing.T) {
	for _, p := range packages() {
		source, err := p.generate()
		if err != nil {
			t.Fatal(err)
		}
		committed, err := os.ReadFile("../../" + p.name + "/decode_gen.go")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(source, committed) {
			t.Errorf("%s/decode_gen.go is stale: run go generate ./%s", p.name, p.name)
		}
	}
}

func TestGenerateRefusesWhatItCannotDecode(t *testing.T) {
	for name, test := range map[string]any{
		"interface": struct{ X any }{},
		"float":     struct{ X float64 }{},
		"map key":   struct{ X map[int]string }{},
		"nested":    struct{ X [][]specs.Mount }{},
	} {
		if _, err := (target{roots: []reflect.Type{reflect.TypeOf(test)}}).generate(); err == nil || !strings.Contains(err.Error(), ".X: unsupported") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
