package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/lint"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/process"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// programGone finds a program that is not in the root, or that nobody may execute. Nothing is
// said where only the start can tell.
func programGone(ctx context.Context, p *container.Plan) []lint.Finding {
	program := p.Config.Process
	if len(program.Args) == 0 || program.Args[0] == "" || changesRoot(p.Config) {
		return nil
	}
	name, advice := program.Args[0], "put it there, or name one that is there"
	if !strings.Contains(name, "/") {
		advice = "put it there, or its directory into PATH in process.env"
	}
	files := process.Candidates(name, program.Env)
	for i, file := range files {
		if !path.IsAbs(file) {
			files[i] = program.Cwd + "/" + file // not path.Join: where .. leads to, links decide
		}
	}
	found := lint.Finding{Kind: lint.KindImpossible, Place: "process.args[0]", Message: fmt.Sprintf("there is no program %q in the root", name),
		Advice: "it is looked for as " + strings.Join(files, ", ") + ": " + advice}
	closed := false
	for i, target := range inRoot(ctx, p, files) {
		switch {
		case target.Unknown != "" || target.Kind == host.Regular && target.Mode&0o111 != 0:
			return nil
		case target.Kind == host.Regular && !closed:
			closed = true
			found.Message = files[i] + " in the root has no execute permission"
			found.Advice = "chmod +x " + plain.ShellWord(path.Join(p.Facts.Rootfs.Path, target.Resolved))
		case target.Kind == host.Directory && !closed:
			found.Message = files[i] + " in the root is a directory, not a program"
		}
	}
	return []lint.Finding{found}
}

// changesRoot reports whether the program may see another root than is there now: a hook may
// put it there, and the mounts of a namespace that is joined are others.
func changesRoot(s *specs.Spec) bool {
	if h := s.Hooks; h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer)+len(h.StartContainer) > 0 {
		return true
	}
	return slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace && n.Path != "" })
}

// inRoot looks at files in the root, as the start will find them. One at or below a mount is
// unknown, and so is one that the caller may not look at.
func inRoot(ctx context.Context, p *container.Plan, files []string) []host.Target {
	needs := host.Needs{Rootfs: p.Facts.Rootfs.Path}
	mounted := map[string]bool{}
	for _, m := range p.Config.Mounts {
		mounted[m.Destination] = true
		needs.Targets = append(needs.Targets, host.Destination{Path: m.Destination, Mount: true})
	}
	for _, file := range files {
		needs.Targets = append(needs.Targets, host.Destination{Path: file})
	}
	prober, err := probe.New([3]int{0, 1, 2})
	if err == nil {
		err = prober.Measure(ctx, &needs)
	}
	targets := make([]host.Target, len(files))
	for i, file := range files {
		there := err == nil && !mounted[file]
		if there {
			targets[i], there = prober.Facts.Targets[file]
		}
		if !there {
			targets[i].Unknown = host.Covered
		}
	}
	return targets
}
