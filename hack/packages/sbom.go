package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
)

// sbom writes what the linker wrote into each binary. Of C it writes nothing: C_LIBRARIES has what of it is in homerun-seccomp, as
// hack/c-libraries prints it.
func sbom(file string, binaries []string) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: time.Unix(seconds, 0).UTC().Format(time.RFC3339),
		Component: &cyclonedx.Component{
			BOMRef: "homerun", Type: cyclonedx.ComponentTypeApplication, Name: "homerun", Version: os.Getenv("VERSION"),
			Licenses: &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}},
		},
	}
	l := list{seen: map[string]bool{}}
	for _, binary := range binaries {
		if err := l.binary(binary); err != nil {
			return fmt.Errorf("%s: %w", binary, err)
		}
	}
	bom.Components, bom.Dependencies = &l.components, &l.dependencies
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := cyclonedx.NewBOMEncoder(out, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return err
	}
	return out.Close()
}

// list is of what has been found so far, each once, in the order of the binaries.
type list struct {
	seen         map[string]bool
	components   []cyclonedx.Component
	dependencies []cyclonedx.Dependency
}

func (l *list) binary(path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	goVersion, _, _ := strings.Cut(info.GoVersion[len("go"):], "-X:") // experiments, which it was built with
	needs := []string{l.add(cyclonedx.ComponentTypeFramework, "std", goVersion, "pkg:golang/std@"+goVersion)}
	for _, module := range info.Deps {
		needs = append(needs, l.module(module))
	}
	if name == "homerun-seccomp" {
		for _, library := range strings.Fields(os.Getenv("C_LIBRARIES")) {
			of, version, _ := strings.Cut(library, "@")
			needs = append(needs, l.add(cyclonedx.ComponentTypeLibrary, of, version, "pkg:generic/"+library))
		}
	}
	l.components = append(l.components, cyclonedx.Component{
		BOMRef: name, Type: cyclonedx.ComponentTypeFile, Name: name, Version: os.Getenv("VERSION"),
		Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sha256.Sum256(content))}},
	})
	l.dependencies = append(l.dependencies, cyclonedx.Dependency{Ref: name, Dependencies: &needs})
	return nil
}

func (l *list) module(m *debug.Module) string {
	if m.Replace != nil {
		m = m.Replace
	}
	return l.add(cyclonedx.ComponentTypeLibrary, m.Path, m.Version, "pkg:golang/"+m.Path+"@"+m.Version)
}

// add returns the component's name for others to refer to, which is its package URL.
func (l *list) add(kind cyclonedx.ComponentType, name, version, url string) string {
	if !l.seen[url] {
		l.seen[url] = true
		l.components = append(l.components, cyclonedx.Component{BOMRef: url, Type: kind, Name: name, Version: version, PackageURL: url})
	}
	return url
}
