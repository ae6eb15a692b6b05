package compiler

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/bpf"
)

func TestLoadMissThenHit(t *testing.T) {
	o := Options{CacheDir: filepath.Join(t.TempDir(), ".cache", "seccomp"), HelperPath: helper(t)}
	raw := profile(t, "podman.json")
	first, hit, err := Load(t.Context(), raw, o)
	if err != nil || hit {
		t.Fatalf("hit %t, %v", hit, err)
	}
	second, hit, err := Load(t.Context(), raw, o)
	if err != nil || !hit {
		t.Fatalf("hit %t, %v", hit, err)
	}
	if string(first.Program) != string(second.Program) || first.Flags != second.Flags || first.Flags != seccomp.FlagSpecAllow {
		t.Error("a hit differs from the miss")
	}
	if !strings.HasPrefix(second.Library, "2.") {
		t.Errorf("library %q", second.Library)
	}
	o.FailUnknown = true
	if _, hit, _ := Load(t.Context(), raw, o); hit {
		t.Error("hit across an option")
	}
	st, err := os.Stat(o.CacheDir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("cache directory: %v %v", st.Mode(), err)
	}
}

func TestLoadListener(t *testing.T) {
	raw := profile(t, "notify.json")
	f, _, err := Load(t.Context(), raw, Options{HelperPath: helper(t)})
	if err != nil {
		t.Fatal(err)
	}
	if !f.Listener || f.ListenerPath != "/run/agent.sock" || f.ListenerMetadata != `{"a":1}` {
		t.Errorf("%+v", f)
	}
	if want := uint(seccomp.FlagNewListener | seccomp.FlagWaitKillableRecv); f.Flags != want {
		t.Errorf("flags %#x", f.Flags)
	}
	f, _, err = Load(t.Context(), raw, Options{HelperPath: helper(t), Receiver: "/run/other"})
	if err != nil || f.ListenerPath != "/run/other" {
		t.Errorf("%+v %v", f, err)
	}
	nobody := []byte(strings.Replace(string(raw), "/run/agent.sock", "", 1))
	if _, _, err = Load(t.Context(), nobody, Options{HelperPath: helper(t)}); err == nil || !strings.Contains(err.Error(), "linux.seccomp.listenerPath: missing") {
		t.Error(err)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	script := func(name, body string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ raw, helper, want string }{
		{`{}`, filepath.Join(dir, "none"), "homerun-seccomp is not installed"},
		{`{}`, "", "hint: install libseccomp-dev and run `make deps && make build`"},
		{`{}`, dir, "homerun-seccomp is not installed"},
		{`{}`, script("silent", "exit 3"), "exit status 3"},
		{`{}`, script("empty", "exit 0"), "0 bytes without its magic"},
		{`{}`, script("endless", "while echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; do :; done"), "seccomp: "},
		{`{}`, script("noisy", "echo 'homerun-seccomp: linux.seccomp.x: no' >&2; echo two >&2; exit 1"), "seccomp: linux.seccomp.x: no"},
		{strings.Repeat(" ", 1<<20), script("deaf", "exec 0<&-; exit 1"), "exit status 1"},
	} {
		_, _, err := Load(t.Context(), []byte(c.raw), Options{HelperPath: c.helper, CacheDir: filepath.Join(dir, "a", "b")})
		if err == nil || !strings.Contains(err.Error()+"; hint: "+fault.Hint(err), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", c.helper, err, c.want)
		}
	}
	if _, _, err := Load(t.Context(), []byte(`{}`), Options{}); !errors.Is(err, ErrNotInstalled) {
		t.Error(err)
	}
	if _, _, err := Load(t.Context(), []byte(`{"defaultAction":"x"}`), Options{HelperPath: helper(t)}); err == nil || !strings.HasPrefix(err.Error(), `seccomp: linux.seccomp.defaultAction: unknown action "x"`) {
		t.Error(err)
	}
}

func TestHelperHasNoEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho \"$HOME$LD_PRELOAD$(pwd)\" >&2; exit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LD_PRELOAD", "")
	if _, _, err := Load(t.Context(), []byte(`{}`), Options{HelperPath: path}); err == nil || err.Error() != "seccomp: /" {
		t.Error(err)
	}
}

func TestHelperIsStatic(t *testing.T) {
	f, err := elf.Open(helper(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("homerun-seccomp is dynamically linked (%s)", p.Type)
		}
	}
}

func TestHelperIsReproducible(t *testing.T) {
	first, err := os.ReadFile(helper(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := build(dir); err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(dir, Name))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("two builds differ, %v", err)
	}
}

// TestKernelAgrees loads real filters and makes every call that they answer
// with an errno, and some harmless ones that they allow.
func TestKernelAgrees(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the profiles' numbers are amd64's")
	}
	for _, name := range []string{"podman.json", "docker.json", "containerd.json"} {
		f, _, err := Load(t.Context(), profile(t, name), Options{HelperPath: helper(t)})
		if err != nil {
			t.Fatal(err)
		}
		p, _ := bpf.Parse(f.Program)
		calls, want := sample(p)
		if len(calls) < 100 {
			t.Errorf("%s: only %d calls to make", name, len(calls))
		}
		for i, got := range onKernel(t, f, calls) {
			if got != want[i] {
				t.Errorf("%s: %+v: %v, want %v", name, calls[i], got, want[i])
			}
		}
		t.Logf("%s: %d calls", name, len(calls))
	}
}

func sample(p []bpf.Instruction) (calls []call, want []unix.Errno) {
	add := func(c call) {
		if e, err := decided(p, c); err == nil {
			calls, want = append(calls, c), append(want, e)
		}
	}
	for nr := uint64(0); nr < 700; nr++ {
		// uretprobe (6.11) and uprobe are the kernel's own: it does not ask
		// the filter, and kills who calls them elsewhere.
		if nr != 335 && nr != 336 {
			add(call{NR: nr})
		}
	}
	for family := uint64(0); family < 48; family++ {
		add(call{NR: unix.SYS_SOCKET, Args: [6]uint64{family, 3, 9}})
		add(call{NR: unix.SYS_SOCKET, Args: [6]uint64{family | 1<<32, 3, 9}})
	}
	for _, v := range []uint64{1, 8, 0x20000, 0x20008, 0xfffffffe} {
		add(call{NR: unix.SYS_PERSONALITY, Args: [6]uint64{v}})
	}
	for bit := range 64 {
		add(call{NR: unix.SYS_CLONE, Args: [6]uint64{1 << bit}})
	}
	for _, nr := range []uint64{unix.SYS_GETPID, unix.SYS_GETUID, unix.SYS_SCHED_YIELD} {
		calls, want = append(calls, call{NR: nr}), append(want, 0)
	}
	return calls, want
}

func TestKernelListener(t *testing.T) {
	f, _, err := Load(t.Context(), profile(t, "notify.json"), Options{HelperPath: helper(t)})
	if err != nil {
		t.Fatal(err)
	}
	// swapon is number 167 here; mkdirat would wait for a receiver.
	got := onKernel(t, f, []call{{NR: unix.SYS_SWAPON}, {NR: unix.SYS_GETPID}})
	if got[0] != 77 || got[1] != 0 {
		t.Errorf("%v", got)
	}
}

func TestDisassembleOfALoadedFilter(t *testing.T) {
	f, _, err := Load(t.Context(), profile(t, "docker.json"), Options{HelperPath: helper(t)})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(seccomp.Disassemble(f.Program), "\n")
	for _, want := range []string{"(x86_64)", "(x86)", "(clone3)", "ld arg0.lo", "ret ERRNO(38)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the listing", want)
		}
	}
	if got := seccomp.Disassemble([]byte{1}); len(got) != 1 || !strings.Contains(got[0], "1 bytes") {
		t.Errorf("%q", got)
	}
}

// TestHitIsFast: a hit takes a fraction of the time of a miss, which runs the helper.
func TestHitIsFast(t *testing.T) {
	o := Options{CacheDir: filepath.Join(t.TempDir(), "c"), HelperPath: helper(t)}
	raw := profile(t, "podman.json")
	best := func(o Options, hits bool) time.Duration {
		best := time.Hour
		for range 20 {
			start := time.Now()
			if _, hit, err := Load(t.Context(), raw, o); err != nil || hit != hits {
				t.Fatal(hit, err)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	if _, _, err := Load(t.Context(), raw, o); err != nil {
		t.Fatal(err)
	}
	hit, miss := best(o, true), best(Options{HelperPath: o.HelperPath}, false)
	if hit > miss/4 {
		t.Errorf("a hit takes %v, a miss %v", hit, miss)
	}
	t.Logf("a hit takes %v, a miss %v", hit, miss)
}

func BenchmarkHit(b *testing.B) {
	o := Options{CacheDir: filepath.Join(b.TempDir(), "c"), HelperPath: helper(b)}
	raw := profile(b, "podman.json")
	for b.Loop() {
		if _, _, err := Load(b.Context(), raw, o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMiss(b *testing.B) {
	o := Options{HelperPath: helper(b)}
	raw := profile(b, "podman.json")
	for b.Loop() {
		if _, _, err := Load(b.Context(), raw, o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKey(b *testing.B) {
	raw := profile(b, "podman.json")
	for b.Loop() {
		keyOf(material(raw, "identity", "actions"))
	}
}

// TestKey: entries that an older homerun has made are found.
func TestKey(t *testing.T) {
	if key := keyOf(material([]byte(`{"defaultAction":"SCMP_ACT_ALLOW"}`), "helper", "allow")); key != "c86b7ff8d6c19c5a" {
		t.Error(key)
	}
}
