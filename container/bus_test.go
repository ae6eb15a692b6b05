package container

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// connections counts the sockets that this process has open.
func connections(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(name, "socket:") {
			n++
		}
	}
	return n
}

// prepareIn is prepare on a host with that cgroup tree, whatever this one has.
func (r *Runtime) prepareIn(ctx context.Context, tree *host.Cgroup, request *Request, to intent) (*preparation, error) {
	prober, err := probe.New([3]int{0, 1, 2})
	if err != nil {
		return nil, err
	}
	facts := prober.Facts
	facts.UserNamespace.Initial = false // a session's manager, not the machine's
	facts.Cgroup = tree
	c, err := r.unmade(request.ID)
	if err != nil {
		return nil, err
	}
	request.Facts = facts
	p := &preparation{intent: to, starting: c.newStarting(request.Bundle), request: request, prober: prober}
	needs := compile.Needs(request.Bundle.Config, facts, p.wishes())
	if err := prober.Measure(ctx, &needs); err != nil {
		return nil, err
	}
	r.surroundings(request, &needs)
	p.starting.cgroup.Bus = serviceManager(ctx, &needs, facts, askManager(ctx, &needs, facts))
	if facts.ServiceManager.Trouble != "" {
		return nil, errors.New(facts.ServiceManager.Trouble)
	}
	return p, p.begin(ctx)
}

// fakeTree is a place in a tree where the caller has nothing but a scope.
func fakeTree() *host.Cgroup {
	return &host.Cgroup{Unified: true, MountPoint: "/sys/fs/cgroup", Path: "/"}
}

// failWithBus takes a container on a host with cgroup v2 as far as it comes.
func failWithBus(t *testing.T, b *bundle.Bundle, to intent) error {
	t.Helper()
	r := &Runtime{Options{Root: filepath.Join(t.TempDir(), "root"), Manager: cgroupv2.Systemd}}
	p, err := r.prepareIn(t.Context(), fakeTree(), &Request{ID: "web", Bundle: b, Streams: OwnStreams()}, to)
	if err != nil {
		return err
	}
	defer p.starting.close()
	return p.starting.run(t.Context())
}

// TestFailureLeavesNoConnection: whatever a container fails for, the connection to
// the service manager is closed. Tried: a path that is none, what is refused in
// either part of the plan, a scope that is not made.
func TestFailureLeavesNoConnection(t *testing.T) {
	startManager(t, t.TempDir(), &scopes{refuses: true})
	const times = 8
	for want, change := range map[string]func(*specs.Spec){
		"takes slice:prefix:name": func(s *specs.Spec) { s.Linux.CgroupsPath = "a:b:c:d" },
		"a.slice is a slice":      func(s *specs.Spec) { s.Linux.CgroupsPath = "user.slice:a.slice" },
		"cannot set this property": func(s *specs.Spec) {
			s.Annotations = map[string]string{"org.systemd.property.DeviceAllow": "'x'"}
		},
		"handler":                func(s *specs.Spec) { s.Annotations = map[string]string{"run.oci.handler": "krun"} },
		"unknown resource limit": func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} },
		"not the name of a cgroup": func(s *specs.Spec) {
			s.Annotations = map[string]string{"run.oci.delegate-cgroup": ".."}
		},
		"unknown type":             func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "none" },
		"start homerun-web.scope:": func(*specs.Spec) {},
	} {
		config, err := spec.Rootfs{Path: "/", ReadOnly: true, Args: []string{"true"}}.Config()
		if err != nil {
			t.Fatal(err)
		}
		config.Linux.Resources = nil
		change(config)
		b, before := &bundle.Bundle{Dir: t.TempDir(), Config: config}, connections(t)
		for i := range times {
			if err := failWithBus(t, b, intent{create: i%2 == 1}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		if after := connections(t); after > before {
			t.Errorf("%s: %d connections before, %d after %d calls", want, before, after, times)
		}
	}
}
