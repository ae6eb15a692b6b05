// Package bundle reads config.json and rejects by JSON path what cannot run.
//
// It decodes into the types of specs-go with package jsonread, whose differences from
// encoding/json it shares, and decoders that hack/gendecoder generates.
//
// All functions are pure, but for those in load.go, and safe for concurrent
// use. Sections of other platforms and linux.seccomp are checked for syntax only.
//
// Source: https://github.com/opencontainers/runtime-spec/blob/main/config.md
package bundle

import (
	"github.com/homerun-oci/homerun/jsonread"
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

// Decode decodes a config.json. It keeps raw, which must not change
// any more. Any error is a *fault.Error.
func Decode(raw []byte) (*Bundle, error) {
	var r jsonread.Reader
	config, err := jsonread.Document(&r, textOf(raw), decodeSpec)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Config: config, Raw: raw}
	if b.Config.Linux != nil {
		b.Seccomp = r.Marked(raw)
	}
	return b, nil
}

// DecodeProcess decodes what exec --process names: a config.json's process.
// It keeps raw. Any error is a *fault.Error.
func DecodeProcess(raw []byte) (*specs.Process, error) {
	return jsonread.Document(new(jsonread.Reader), textOf(raw), decodeProcess)
}

// DecodeResources decodes what update --resources names: a config.json's
// linux.resources. It keeps raw. Any error is a *fault.Error.
func DecodeResources(raw []byte) (*specs.LinuxResources, error) {
	return jsonread.Document(new(jsonread.Reader), textOf(raw), decodeLinuxResources)
}

// DecodeSeccomp decodes a config.json's linux.seccomp. It keeps raw. Any error is a
// *fault.Error; its path and line are relative to raw.
func DecodeSeccomp(raw []byte) (*specs.LinuxSeccomp, error) {
	return jsonread.Document(new(jsonread.Reader), textOf(raw), decodeLinuxSeccomp)
}
