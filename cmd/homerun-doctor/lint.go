package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/jsonread"
	"github.com/homerun-oci/homerun/limits"
	"github.com/homerun-oci/homerun/lint"
	"github.com/homerun-oci/homerun/plain"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// lintDocument is the JSON form. It is stable.
type lintDocument struct {
	Findings []lint.Finding `json:"findings"`
}

// linter has the flags of lint.
type linter struct {
	asked
	kernel
	config, manager string
	strict          bool
}

func (l *linter) lint(ctx context.Context, w io.Writer, dir string) (status int, err error) {
	list, err := l.findings(ctx, dir)
	if err != nil {
		return 1, err
	}
	if slices.ContainsFunc(list, func(found lint.Finding) bool { return l.strict || found.Kind.IsError() }) {
		status = 1
	}
	if l.json {
		return status, printJSON(w, lintDocument{append([]lint.Finding{}, list...)})
	}
	out, file := bufio.NewWriter(w), configFile(dir, l.config)
	for _, found := range list {
		fmt.Fprintln(out, plain.Short(found.In(file), fault.MaxLine))
		if found.Advice != "" {
			fmt.Fprintln(out, "    "+plain.Short(found.Advice, fault.MaxLine))
		}
	}
	return status, out.Flush()
}

// configFile is where a bundle's config is.
func configFile(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, cmp.Or(name, "config.json"))
}

// findings makes all checks; the error is that of a bundle that cannot be read.
func (l *linter) findings(ctx context.Context, dir string) ([]lint.Finding, error) {
	b, err := bundle.Load(dir, l.config)
	if wrong := (*fault.Error)(nil); errors.As(err, &wrong) && wrong.Line > 0 {
		return []lint.Finding{{Kind: lint.KindInvalid, Place: wrong.Place, Line: wrong.Line, Column: wrong.Column, Message: wrong.Why}}, nil
	}
	if err != nil {
		return nil, err
	}
	list := slices.Concat(lint.Unknown(b.Raw), lint.Twice(b.Raw), lint.Annotations(b.Config), unstoppable(b), hooksGone(b))
	warnings, err := b.Check()
	list = append(list, ignored(warnings)...)
	root := os.Geteuid() == 0
	if err != nil {
		list = append(list, errorsOf(lint.KindInvalid, err)...)
	} else {
		p, found := l.impossible(ctx, b)
		list = append(list, found...)
		root = root && (p == nil || p.Facts.UserNamespace.Initial)
	}
	list = append(list, lint.Unsafe(lint.Subject{Config: b.Config, Seccomp: b.Seccomp != nil, HostRoot: root, Home: os.Getenv("HOME"), Open: openPaths(b, l.config)})...)
	lint.Locate(b.Raw, list)
	return slices.Compact(list), nil
}

// ignored makes findings of warnings, each of which begins with a JSON path.
func ignored(warnings []string) []lint.Finding {
	var list []lint.Finding
	for _, text := range warnings {
		place, message, ok := strings.Cut(text, ": ")
		if !ok || strings.Contains(place, " ") {
			place, message = "", text
		}
		list = append(list, lint.Finding{Kind: lint.KindIgnored, Place: place, Message: message})
	}
	return list
}

// errorsOf makes findings of an error, or of each of a list.
func errorsOf(kind lint.Kind, err error) []lint.Finding {
	all := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		all = several.Unwrap()
	}
	var list []lint.Finding
	for _, err := range all {
		f := lint.Finding{Kind: kind, Message: err.Error(), Advice: strings.ReplaceAll(fault.Hint(err), "\n", "; ")}
		for e := range fault.All(err) {
			if e.Place != "" {
				// Its place and its line are said by themselves.
				f.Place, f.Message = e.Place, (&fault.Error{What: e.What, Why: e.Why}).Error()
				break
			}
		}
		list = append(list, f)
	}
	return list
}

// impossible plans the container for this host; there is no plan where that cannot be.
func (l *linter) impossible(ctx context.Context, b *bundle.Bundle) (*container.Plan, []lint.Finding) {
	var warnings []string
	wanted := container.DefaultOptions(os.Getenv)
	wanted.Manager, wanted.Helpers.Homerun = container.Manager(l.manager), l.homerun
	wanted.Warn = func(text string) { warnings = append(warnings, text) }
	if l.root != "" {
		wanted.Root = l.root
	}
	r, err := container.New(wanted)
	if err != nil {
		return nil, errorsOf(lint.KindImpossible, err)
	}
	p, err := r.PlanRun(ctx, container.Request{ID: "lint", Bundle: b, Streams: container.OwnStreams()})
	if err != nil {
		return nil, errorsOf(lint.KindImpossible, err)
	}
	return p, slices.Concat(ignored(warnings), ignored(p.Result.Notes), undelegated(p), programGone(ctx, p), l.unmountable(p.Result.Plan), l.unknownParameters(p))
}

// undelegated are limits whose controllers the caller's cgroups do not have.
func undelegated(p *container.Plan) []lint.Finding {
	if p.Config.Linux == nil || p.Facts.Cgroup == nil || !p.Facts.Cgroup.Unified {
		return nil
	}
	set, _, err := limits.Of(p.Config.Linux.Resources)
	at := whereLimited(p)
	if err != nil || at == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(at, "cgroup.controllers"))
	if err != nil {
		return nil
	}
	there := strings.Fields(string(text))
	var list []lint.Finding
	for _, l := range set {
		name := l.Name().Controller()
		if name != "cgroup" && l.Restricts() && !slices.Contains(there, name) {
			list = append(list, lint.Finding{Kind: lint.KindImpossible, Place: l.Place(),
				Message: "the controller " + name + " is not delegated: " + at + " has " + strings.Join(there, ", "), Advice: "homerun doctor says how to have it delegated"})
		}
	}
	return list
}

// whereLimited is the cgroup below which the plan makes the container's.
func whereLimited(p *container.Plan) string {
	for _, s := range p.Result.Plan.Runtime() {
		switch a := s.Action.(type) {
		case action.MakeCgroup:
			return a.Mount + a.Choice.Base
		case action.StartScope:
			if p.Facts.ServiceManager.System {
				return p.Facts.Cgroup.MountPoint
			}
			uid := strconv.Itoa(p.Facts.UserNamespace.OwnerUID)
			return p.Facts.Cgroup.MountPoint + "/user.slice/user-" + uid + ".slice/user@" + uid + ".service"
		}
	}
	return ""
}

// openPaths are those of the config that others than their owner can write: the root,
// config.json, and what is run on the host's side.
func openPaths(b *bundle.Bundle, config string) []lint.OpenPath {
	var list []lint.OpenPath
	look := func(place, path string) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(b.Dir, path)
		}
		if st, err := os.Stat(path); err == nil && st.Mode().Perm()&0o002 != 0 && st.Mode()&os.ModeSticky == 0 {
			list = append(list, lint.OpenPath{Place: place, Path: path})
		}
	}
	look("", configFile(b.Dir, config))
	if b.Config.Root != nil {
		look("root.path", b.Config.Root.Path)
	}
	eachHook(b, look)
	return list
}

// eachHook calls for each hook that is run on the host's side.
func eachHook(b *bundle.Bundle, call func(place, path string)) {
	if b.Config.Hooks == nil {
		return
	}
	for _, h := range []struct {
		name string
		list []specs.Hook
	}{{"prestart", b.Config.Hooks.Prestart}, {"createRuntime", b.Config.Hooks.CreateRuntime}, {"poststart", b.Config.Hooks.Poststart}, {"poststop", b.Config.Hooks.Poststop}} {
		for i, hook := range h.list {
			call(fmt.Sprintf("hooks.%s[%d].path", h.name, i), hook.Path)
		}
	}
}

// unstoppable are annotations that homerun stop refuses.
func unstoppable(b *bundle.Bundle) []lint.Finding {
	var list []lint.Finding
	check := func(name string, parse func(text string) error) {
		text := b.Config.Annotations[name]
		if err := parse(text); text != "" && err != nil {
			list = append(list, lint.Finding{Kind: lint.KindInvalid, Place: jsonread.Keyed("annotations", name), Message: err.Error()})
		}
	}
	check(container.AnnotationStopSignal, func(text string) error {
		_, err := container.ParseStopSignal(text)
		return err
	})
	check(container.AnnotationStopTimeout, func(text string) error {
		_, err := container.ParseStopTimeout(text)
		return err
	})
	return list
}

// hooksGone are hooks that are not there to be run.
func hooksGone(b *bundle.Bundle) []lint.Finding {
	var list []lint.Finding
	eachHook(b, func(place, path string) {
		if _, err := os.Stat(path); filepath.IsAbs(path) && errors.Is(err, os.ErrNotExist) {
			list = append(list, lint.Finding{Kind: lint.KindImpossible, Place: place, Message: path + ": there is no such program"})
		}
	})
	return list
}
