package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPicture(t *testing.T) {
	out := filepath.Join(t.TempDir(), "x.svg")
	if err := run(strings.NewReader("# not this\necho '<a&b>'\n\nprintf 'one\\ttwo\\033[0m\\n'; exit 3\nprintf 123456789012345\n"), out, 20); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	for _, want := range []string{"&lt;a&amp;b&gt;</text>", ">one        two[0m</text>", "</tspan>echo", ">123456789012345</text>"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "not this") {
		t.Error("a comment is drawn")
	}
}

func TestWrapped(t *testing.T) {
	got := wrapped("1234567\n", 3)
	if len(got) != 3 || got[0].Text != "123" || got[2].Text != "7" {
		t.Errorf("%+v", got)
	}
}
