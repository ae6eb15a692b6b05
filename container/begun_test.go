package container

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/seccomp/compiler"
	"github.com/homerun-oci/homerun/spec"
)

// forTrue is a bundle of true, and the runtime for it.
func forTrue(t *testing.T) (*Runtime, *bundle.Bundle) {
	t.Helper()
	config, err := spec.Rootfs{Path: "/", ReadOnly: true, Args: []string{"true"}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	config.Linux.Resources = nil
	r := &Runtime{Options{Root: filepath.Join(t.TempDir(), "root"), Manager: cgroupv2.None}}
	return r, &bundle.Bundle{Dir: t.TempDir(), Config: config}
}

// A filter that was not to be had while the stage started is never left out: the second
// part fails for it, however often it is asked for.
func TestFilterIsNeverLeftOut(t *testing.T) {
	r, b := forTrue(t)
	c, err := r.unmade("web")
	if err != nil {
		t.Fatal(err)
	}
	b.Seccomp = []byte(`{"defaultAction":"SCMP_ACT_ALLOW"}`)
	p := &preparation{starting: c.newStarting(b), request: &Request{ID: "web", Bundle: b}}
	r.options.Helpers.Seccomp = filepath.Join(t.TempDir(), "none")
	p.loadFilter(t.Context())
	for range 2 {
		if result, err := p.finish(t.Context()); err == nil || result != nil {
			t.Errorf("a second part without the filter: %v", err)
		}
	}
	p.filter, p.filterErr, p.only = nil, compiler.NotInstalled(nil), true
	if err := p.load(t.Context()); err != nil || !p.unfiltered {
		t.Errorf("a plan that is only looked at: %v", err)
	}
}

// What was measured meanwhile is not measured again, and why it was not is said in the end.
func TestMeasuredWhileBegun(t *testing.T) {
	r, b := forTrue(t)
	p, err := r.prepare(t.Context(), &Request{ID: "web", Bundle: b, Streams: OwnStreams()}, intent{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.starting.close()
	p.whileBegun(t.Context())
	p.loadFilter(t.Context())
	if !p.completed || !p.loaded || p.completeErr != nil || p.filterErr != nil {
		t.Errorf("measured %v %v, filter %v %v", p.completed, p.completeErr, p.loaded, p.filterErr)
	}
	if _, err := p.finish(t.Context()); err != nil {
		t.Error(err)
	}
	failed := &preparation{prober: &probe.Prober{}, completed: true, completeErr: errors.New("not seen")}
	failed.whileBegun(t.Context())
	failed.loadFilter(t.Context())
	if _, err := failed.finish(t.Context()); !errors.Is(err, failed.completeErr) || failed.loaded {
		t.Errorf("%v, filter loaded %v", err, failed.loaded)
	}
}
