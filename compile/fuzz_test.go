package compile

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzCompile wants of any config that passes the bundle's check, any facts and
// any options either a plan or an error, and of the plan that it passes Check
// and fits its image. A broken rule of Check is a defect of the compiler, so it
// is none of the errors that a config may cause. The bytes of mix choose golden
// files whose patches are laid over the base, config and facts, lists one
// after the other.
func FuzzCompile(f *testing.F) {
	patches := allPatches(f)
	for i, p := range patches {
		f.Add(patched(f, "testdata/base.json", p.config), patched(f, "testdata/facts.json", p.facts), []byte{}, uint16(i*0x9e37))
		f.Add([]byte("{}"), []byte("{}"), []byte{byte(i), byte(i * 7), byte(i * 13)}, uint16(i*0x9e37))
	}
	f.Fuzz(func(t *testing.T, config, facts, mix []byte, choice uint16) {
		if len(mix) > 0 {
			base := patches[len(patches)-1]
			config, facts = mixed([]byte(base.config), string(config)), mixed([]byte(base.facts), string(facts))
		}
		for _, n := range mix[:min(len(mix), 8)] {
			p := patches[int(n)%len(patches)]
			config, facts = mixed(config, p.config), mixed(facts, p.facts)
		}
		b, err := bundle.Decode(config)
		if err != nil {
			return
		}
		if _, err := b.Check(); err != nil {
			return
		}
		known := new(host.Facts)
		if json.Unmarshal(facts, known) != nil {
			return
		}
		compileAll(t, b, known, choice)
	})
}

// patch is what a golden file says, or as the last of all the base itself.
type patch struct{ config, facts string }

func allPatches(f *testing.F) []patch {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatal("no golden files")
	}
	var list []patch
	for _, file := range files {
		g := readGolden(f, readArchive(f, file))
		list = append(list, patch{g.sections["config.json"], g.sections["facts.json"]})
	}
	base := patch{string(patched(f, "testdata/base.json", "")), string(patched(f, "testdata/facts.json", ""))}
	return append(list, base)
}

// mixed lays a patch over JSON text. Text that is no JSON stays as it is.
func mixed(text []byte, over string) []byte {
	var base, change any
	if over == "" || decode(string(text), &base) != nil || decode(over, &change) != nil {
		return text
	}
	out, err := json.Marshal(overlaid(base, change))
	if err != nil {
		return text
	}
	return out
}

// overlaid is merge, but for lists, which it joins.
func overlaid(base, change any) any {
	if list, ok := base.([]any); ok {
		if more, ok := change.([]any); ok {
			return append(list, more...)
		}
	}
	patch, ok := change.(map[string]any)
	target, ok2 := base.(map[string]any)
	if !ok || !ok2 {
		return change
	}
	for name, value := range patch {
		if name == "namespaces" { // one of a kind
			target[name] = value
		} else {
			target[name] = overlaid(target[name], value)
		}
	}
	return target
}

func compileAll(t *testing.T, b *bundle.Bundle, facts *host.Facts, choice uint16) {
	t.Helper()
	w, j, m := fuzzWishes(choice), fuzzJoin(b, choice), fuzzMounts(b, choice)
	r, err := Compile(b.Config, facts, w)
	checkOutcome(t, facts, r, err)
	r, err = compileAnswered(b.Config, facts, w)
	checkOutcome(t, facts, r, err)
	if err == nil {
		if err := orderOf(r); err != nil {
			t.Fatal(err)
		}
	}
	r, err = CompileJoin(j, facts)
	checkOutcome(t, facts, r, err)
	r, err = joinAnswered(j, facts)
	checkOutcome(t, facts, r, err)
	r, err = CompileMounts(m, facts)
	checkOutcome(t, facts, r, err)
	r, err = mountsAnswered(m, facts)
	checkOutcome(t, facts, r, err)
}

func checkOutcome(t *testing.T, facts *host.Facts, r *Result, err error) {
	t.Helper()
	if errors.Is(err, plan.ErrRule) {
		t.Fatal(err)
	}
	if err != nil {
		if err.Error() == "" {
			t.Fatal("an error without words")
		}
		return
	}
	if err := plan.Check(r.Plan); err != nil {
		t.Fatal(err)
	}
	if _, err := meet(r.Plan); err != nil {
		t.Fatal(err)
	}
	if n := len(plan.NewEncoding(r.Plan, 0x400000, 0x40000000).Code); n > r.Plan.CodeSize() {
		t.Fatalf("%d bytes, CodeSize says at most %d", n, r.Plan.CodeSize())
	}
	for i := range r.Plan.Len() {
		if e := Explain(r.Plan, facts, i, -1-i%40); e.Error() == "" || e.What == "" && r.Plan.Step(i).Purpose != plan.ForHook || r.Plan.Line(i) == "" {
			t.Fatalf("step %d, %s, has nothing to say", i, r.Plan.Text(i))
		}
	}
}

// fuzzWishes takes each wish from a bit.
func fuzzWishes(choice uint16) Wishes {
	bit := func(n int) bool { return choice&(1<<n) != 0 }
	managers := [4]cgroupv2.Manager{cgroupv2.None, cgroupv2.Systemd, cgroupv2.Cgroupfs, cgroupv2.Auto}
	w := Wishes{ID: "x", BundleDir: "/bundle", StateDir: "/run/homerun/x", NoPivot: bit(0), NoNewKeyring: bit(1), Create: bit(2), Detached: bit(3),
		ConfigMade: bit(4), Manager: managers[int(choice>>5)%4], Preserve: int(choice>>7) % 4}
	w.Reaper, w.EndsWithCaller = bit(12), bit(13)
	if bit(9) {
		w.Seccomp = &Filter{Program: make([]byte, 8)}
	}
	if bit(10) {
		w.Network = &netns.Connection{Network: netns.Network{Mode: netns.Auto}}
	}
	if bit(11) {
		w.PidFile, w.PidfdSocket, w.ConsoleSocket = "/tmp/pid", "/tmp/pidfd", "/tmp/console"
	}
	return w
}

func fuzzJoin(b *bundle.Bundle, choice uint16) Join {
	o := fuzzWishes(choice)
	j := Join{Process: b.Config.Process, Spec: b.Config, Namespaces: int(choice) << 16, Preserve: o.Preserve,
		Chroot: o.NoPivot, IntoCgroup: choice&(1<<6) != 0, Seccomp: o.Seccomp, AsCaller: o.ConfigMade, Waits: o.Detached}
	if o.ConfigMade || o.Create {
		j.Hook = &specs.Hook{Path: "/bin/hook"}
	}
	return j
}

func fuzzMounts(b *bundle.Bundle, choice uint16) Mounts {
	o := fuzzWishes(choice)
	return Mounts{List: b.Config.Mounts, Remove: o.Create, BundleDir: "/bundle", Namespaces: int(choice) << 16, Chroot: o.NoPivot}
}
