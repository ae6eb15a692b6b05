// Package bundle reads config.json and rejects by JSON path what cannot run.
//
// It decodes into the types of specs-go with a small tokenizer and decoders
// that hack/gendecoder generates, because the reflection caches of
// encoding/json are cold in a process that lives for milliseconds.
//
// All functions are pure, but for those in load.go, and safe for concurrent
// use. Differences from encoding/json: property names match by exact case; a
// property that occurs twice is replaced, never merged; null gives the zero
// value; -0 is allowed in unsigned fields; sections of other platforms and
// linux.seccomp are checked for syntax only; nesting is limited to 1000.
//
// Source: https://github.com/opencontainers/runtime-spec/blob/main/config.md
package bundle

import (
	"github.com/homerun-oci/homerun/fault"
	"github.com/opencontainers/runtime-spec/specs-go"
)

//go:generate go run ../hack/gendecoder

// Bundle is a config.json and where it is from.
type Bundle struct {
	// Dir is the absolute path of the bundle, "" if not read by Load.
	Dir string
	// Config is the decoded document; Config.Linux.Seccomp is always nil.
	Config *specs.Spec
	// Raw is the document as it is written.
	Raw []byte
	// Seccomp is the part of Raw that is the value of linux.seccomp, nil if
	// that is absent or null. DecodeSeccomp decodes it.
	Seccomp []byte

	file string
}

// Decode decodes a config.json. It keeps raw. Any error is a *fault.Error.
func Decode(raw []byte) (*Bundle, error) {
	var r reader
	config, err := decode(&r, raw, decodeSpec)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Config: config, Raw: raw}
	if b.Config.Linux != nil && r.seccompEnd > 0 {
		b.Seccomp = raw[r.seccompStart:r.seccompEnd:r.seccompEnd]
	}
	return b, nil
}

// DecodeProcess decodes what exec --process names: a config.json's process.
// Any error is a *fault.Error.
func DecodeProcess(raw []byte) (*specs.Process, error) {
	return decode(new(reader), raw, decodeProcess)
}

// DecodeResources decodes what update --resources names: a config.json's
// linux.resources. Any error is a *fault.Error.
func DecodeResources(raw []byte) (*specs.LinuxResources, error) {
	return decode(new(reader), raw, decodeLinuxResources)
}

// DecodeSeccomp decodes a config.json's linux.seccomp. Any error is a *fault.Error;
// its path and line are relative to raw.
func DecodeSeccomp(raw []byte) (*specs.LinuxSeccomp, error) {
	return decode(new(reader), raw, decodeLinuxSeccomp)
}

// decode reads a whole document, which must be an object.
func decode[T any](r *reader, raw []byte, read func(*reader, *T)) (*T, error) {
	r.text = string(raw)
	if r.peek() != '{' {
		r.mismatch("an object")
	}
	v := new(T)
	read(r, v)
	r.end()
	if !r.failed {
		return v, nil
	}
	line, column := lineColumn(r.text, r.offset)
	return nil, &fault.Error{Place: locate(r.text, r.offset), Line: line, Column: column, Why: r.reason}
}
