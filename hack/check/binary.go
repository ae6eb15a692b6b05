package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// linked is what `go list -deps -json` says about a package.
type linked struct {
	ImportPath string
	Standard   bool
	CgoFiles   []string
	Imports    []string
}

// banned are packages that must not be in the main binary at all.
var banned = []string{"net/http", "testing", "expvar", "net/rpc"}

// bannedModules are dependencies that belong to a helper.
var bannedModules = map[string]string{
	"github.com/rootless-containers/rootlesskit": "homerun-net",
	"github.com/seccomp/libseccomp-golang":       "homerun-seccomp",
}

// tolerated names who may bring in a package that we would rather not have.
var tolerated = map[string]string{"text/template": "github.com/spf13/cobra"}

// mainBinary looks at what cmd/homerun links.
func mainBinary(t *tree) ([]finding, error) {
	if !slices.ContainsFunc(t.gofiles, func(f *gofile) bool { return f.dir == "cmd/homerun" && !f.test }) {
		return nil, nil
	}
	packages, err := listDeps(t.root, "./cmd/homerun")
	if err != nil {
		return nil, err
	}
	var found []finding
	for _, p := range packages {
		for _, what := range judge(p) {
			found = append(found, finding{where: "cmd/homerun", what: what})
		}
	}
	return found, nil
}

// judge says what is wrong with linking a package.
func judge(p linked) []string {
	var list []string
	if slices.Contains(banned, p.ImportPath) {
		list = append(list, "links "+p.ImportPath)
	}
	for module, helper := range bannedModules {
		if within(p.ImportPath, module) {
			list = append(list, fmt.Sprintf("links %s, which belongs in %s", p.ImportPath, helper))
		}
	}
	if len(p.CgoFiles) > 0 && !p.Standard {
		list = append(list, p.ImportPath+" uses cgo")
	}
	for imported, by := range tolerated {
		if slices.Contains(p.Imports, imported) && !p.Standard && !within(p.ImportPath, by) {
			list = append(list, p.ImportPath+" imports "+imported)
		}
	}
	return list
}

// listDeps asks with cgo on, since with cgo off its users would hide.
func listDeps(root, pkg string) ([]linked, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,CgoFiles,Imports", pkg)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -deps %s: %w\n%s", pkg, err, stderr.String())
	}
	return decodeDeps(out)
}

func decodeDeps(text []byte) ([]linked, error) {
	var list []linked
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		var p linked
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
}
