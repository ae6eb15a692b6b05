package jsonread

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPosition(t *testing.T) {
	raw := []byte("{\n \"mounts\": [\n  {\"options\": [\"a\", \"b\"]},\n  {}\n ],\n \"x.y\": {\"a\": 1, \"a\": 2},\n \"a]\": {\"\": 1}}")
	for _, test := range []struct {
		path         string
		line, column int
		ok           bool
	}{
		{"", 1, 1, true},
		{"mounts", 2, 12, true},
		{"mounts[0].options[1]", 3, 21, true},
		{"mounts[0].options[2]", 3, 15, true},
		{"mounts[0].type", 3, 3, true},
		{"mounts[1].options[1]", 4, 3, true},
		{"mounts[2]", 2, 12, true},
		{"mounts.options", 2, 12, true},
		{`["x.y"].a`, 6, 23, true},
		{`["a]"][""]`, 7, 13, true},
		{"mounts[", 2, 12, false},
		{"mounts[x]", 2, 12, false},
		{"mounts[-1]", 2, 12, false},
		{`["x.y"`, 1, 1, false},
		{"..", 1, 1, false},
	} {
		line, column, ok := Position(raw, test.path)
		if line != test.line || column != test.column || ok != test.ok {
			t.Errorf("%s: got %d:%d %t, want %d:%d %t", test.path, line, column, ok, test.line, test.column, test.ok)
		}
	}
	// What comes before a syntax error can be found.
	broken := []byte("{\"a\": {\"b\": [1, {\"c\": \"\n\"}]}, \"a\": \"\n")
	if line, column, ok := Position(broken, "a.b[1].c.d"); line != 1 || column != 23 || !ok {
		t.Errorf("in a broken document: %d:%d %t", line, column, ok)
	}
	if _, _, ok := Position(nil, ""); ok {
		t.Error("a position in an empty document")
	}
}

// TestPositionFindsWhatLocateNames holds the two directions against each other.
func TestPositionFindsWhatLocateNames(t *testing.T) {
	files, err := filepath.Glob("../bundle/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		for offset := range text {
			path := locate(text, offset)
			line, column, ok := Position(raw, path)
			again := lineOffset(text, line) + column - 1
			if !ok || locate(text, again) != path {
				t.Fatalf("%s: offset %d is in %s, which is at %d", file, offset, path, again)
			}
		}
	}
}

// lineOffset returns where a line begins.
func lineOffset(text string, line int) int {
	offset := 0
	for ; line > 1; line-- {
		offset += strings.IndexByte(text[offset:], '\n') + 1
	}
	return offset
}
