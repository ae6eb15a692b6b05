package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/homerun-oci/homerun/bundle"
)

// loadBundle reads and checks a bundle's config.
func loadBundle(dir, config string) (*bundle.Bundle, error) {
	b, err := bundle.Load(dir, config)
	if err != nil {
		return nil, err
	}
	if _, err := b.Check(); err != nil {
		return nil, err
	}
	return b, nil
}

// note prints something that homerun decided without being asked, for people
// only: callers' pipes are the container's own output.
func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "homerun: "+format+"\n", args...)
}

// checkID wants an id that is one name of a directory: the characters that runc
// takes.
func checkID(id string) error {
	if id == "" || id == "." || id == ".." || len(id) > 1024 {
		return fmt.Errorf("invalid container id %q", id)
	}
	for _, c := range []byte(id) {
		ok := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '+' || c == '-' || c == '.'
		if !ok {
			return fmt.Errorf("invalid container id %q: want letters, digits, and _ + - .", id)
		}
	}
	return nil
}

var errOneID = errors.New("want one argument: the container's id")
