package security

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// allowAll is a filter, as annotation run.oci.seccomp_bpf_data has it: one
// BPF_RET|BPF_K of SECCOMP_RET_ALLOW. No helper is needed for it.
func allowAll() string {
	return base64.StdEncoding.EncodeToString([]byte{unix.BPF_RET | unix.BPF_K, 0, 0, 0, 0, 0, 0xff, 0x7f})
}

// recorded reads what inside has recorded.
func recorded(t *testing.T, file string) report {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	var r report
	must(t, json.Unmarshal(text, &r))
	return r
}

// writable makes a directory of the rootfs that anybody may write to.
func (b *bundle) writable(p string) {
	b.t.Helper()
	b.mkdir(p)
	must(b.t, os.Chmod(b.root(p), 0o777))
}

// confined is what is compared between a hook of the image and the program, by
// its name in /proc/self/status.
func confined() []string {
	return []string{"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Umask"}
}

// outside is what a hook of the image may do and see no more than its program,
// in files of /proc.
func seen() []string {
	return []string{"cat /proc/self/limits", "cat /proc/self/oom_score_adj", "cat /proc/self/cgroup", "cat /proc/self/attr/current",
		"link /proc/self/ns/mnt", "link /proc/self/ns/pid", "link /proc/self/ns/net", "link /proc/self/ns/ipc", "link /proc/self/ns/uts",
		"link /proc/self/ns/user", "link /proc/self/ns/cgroup", "link /proc/self/root", "cat /proc/self/sessionid"}
}

// TestHookOfTheImage: a startContainer hook is a file of the image, and so has
// no more rights than the image's program: its user and groups, the five sets of
// capabilities, the filter, no_new_privs, limits, namespaces, root, cgroup and
// working directory are the program's. Where they are known they are also held
// against the config, so that both being wrong does not pass.
func TestHookOfTheImage(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		for _, start := range []string{"run", "create"} {
			b := newBundle(t, c, append([]string{"record", "/log/program"}, seen()...)...)
			b.writable("log")
			umask := uint32(0o27)
			p := b.spec.Process
			p.User, p.Cwd = specs.User{UID: 1000, GID: 1001, Umask: &umask}, "/log"
			p.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}}
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_MSGQUEUE", Soft: 77, Hard: 99}}
			b.spec.Annotations = map[string]string{"run.oci.seccomp_bpf_data": allowAll()}
			b.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{
				{Path: "/inside", Args: append([]string{"inside", "record", "/log/hook"}, seen()...)}}}
			b.startAndEnd(start)
			hook, program := recorded(t, b.root("log/hook")), recorded(t, b.root("log/program"))
			for _, k := range confined() {
				if hook.Status[k] != program.Status[k] {
					t.Errorf("%s: %s of the hook is %q, of the program %q", start, k, hook.Status[k], program.Status[k])
				}
			}
			for _, k := range seen() {
				if hook.Tries[k] != program.Tries[k] {
					t.Errorf("%s: %s: the hook has\n%s\nthe program\n%s", start, k, hook.Tries[k], program.Tries[k])
				}
			}
			for k, want := range map[string]string{"Uid": "1000\t1000\t1000\t1000", "Gid": "1001\t1001\t1001\t1001", "CapPrm": set(),
				"CapEff": set(), "CapBnd": set(0), "NoNewPrivs": "1", "Seccomp": "2", "Umask": "0027"} {
				if hook.Status[k] != want {
					t.Errorf("%s: %s of the hook is %q, want %q", start, k, hook.Status[k], want)
				}
			}
			if !slices.Equal(strings.Fields(limitLine(hook.Tries["cat /proc/self/limits"])), []string{"Max", "msgqueue", "size", "77", "99", "bytes"}) {
				t.Errorf("%s: limits of the hook:\n%s", start, hook.Tries["cat /proc/self/limits"])
			}
			if hook.Cwd != "/log" || !slices.Equal(hook.Env, program.Env) {
				t.Errorf("%s: the hook is in %q, and has the environment %q; the program %q", start, hook.Cwd, hook.Env, program.Env)
			}
			if got, want := len(hook.FDs), len(program.FDs); got != want {
				t.Errorf("%s: descriptors of the hook: %v, of the program: %v", start, hook.FDs, program.FDs)
			}
		}
	})
}

func limitLine(limits string) string {
	for line := range strings.SplitSeq(limits, "\n") {
		if strings.HasPrefix(line, "Max msgqueue size") {
			return line
		}
	}
	return ""
}

// startAndEnd runs a container to its end, by run, or by create, start and delete.
func (b *bundle) startAndEnd(verb string) {
	b.t.Helper()
	if verb == "run" {
		if r := b.run(); r.status != 0 {
			b.t.Fatalf("run: status %d: %s", r.status, r.stderr)
		}
		return
	}
	b.save()
	for _, args := range [][]string{{"create", "-b", b.dir, b.id()}, {"start", b.id()}} {
		if r := b.c.homerun(b.t, args...); r.status != 0 {
			b.t.Fatalf("%v: status %d: %s", args, r.status, r.stderr)
		}
	}
	// wait has nothing to tell of a container that ended before.
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		r := b.c.homerun(b.t, "delete", b.id())
		switch {
		case r.status == 0:
			return
		case time.Now().After(end) || !strings.Contains(r.stderr, "running"):
			b.t.Fatalf("delete: status %d: %s", r.status, r.stderr)
		}
	}
}

// TestHookOfTheHost: a hook with the caller's rights has the caller's
// environment or its own, never the image's (CVE-2025-23266: LD_PRELOAD of the
// image in a hook of root's), and it is in the bundle. Each kind, with env absent,
// empty and given.
func TestHookOfTheHost(t *testing.T) {
	kinds := []string{"prestart", "createRuntime", "createContainer", "poststart", "poststop"}
	forAll(t, func(t *testing.T, c caller) {
		for what, env := range map[string][]string{"absent": nil, "empty": {}, "given": {"A=b", "PATH=/c"}} {
			b := newBundle(t, c, "ok")
			log := filepath.Join(b.dir, "log")
			must(t, os.Mkdir(log, 0o755), os.Chmod(log, 0o777))
			b.spec.Process.Env = []string{"LD_PRELOAD=/evil.so", "IMAGE=evil", "PATH=/evil"}
			b.spec.Hooks = &specs.Hooks{}
			for i, list := range []*[]specs.Hook{&b.spec.Hooks.Prestart, //nolint:staticcheck // deprecated, and still what callers write
				&b.spec.Hooks.CreateRuntime, &b.spec.Hooks.CreateContainer, &b.spec.Hooks.Poststart, &b.spec.Hooks.Poststop} {
				*list = []specs.Hook{{Path: w.inside, Args: []string{"inside", "record", filepath.Join(log, kinds[i])}, Env: env}}
			}
			b.save()
			b.envEmpty(what == "empty")
			want := env
			if env == nil {
				want = c.command(t.Context()).Env
			}
			if r := b.c.homerun(t, "run", "-b", b.dir, b.id()); r.status != 0 {
				t.Fatalf("%s: %s", what, r.stderr)
			}
			for _, kind := range kinds {
				r := recorded(t, filepath.Join(log, kind))
				if !slices.Equal(sorted(r.Env), sorted(want)) {
					t.Errorf("%s, environment %s: the hook has %q, want %q", kind, what, r.Env, want)
				}
				if r.Cwd != b.dir {
					t.Errorf("%s is in %s, want the bundle, %s", kind, r.Cwd, b.dir)
				}
			}
		}
	})
}

// envEmpty writes the empty environments that encoding/json leaves out.
func (b *bundle) envEmpty(empty bool) {
	if !empty {
		return
	}
	file := filepath.Join(b.dir, "config.json")
	text, err := os.ReadFile(file)
	must(b.t, err)
	must(b.t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), `"path":"`+w.inside+`"`, `"env":[],"path":"`+w.inside+`"`)), 0o644))
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// TestHookWords: what a hook of the image says is shown in one line of bounded
// length and does not act on the terminal; nor does its name.
func TestHookWords(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		const said = `\x1b[2J\x1b]0;title\a one\nhomerun: create: all is well\r\n\u202egnol\xff\x9b`
		b := newBundle(t, c, "ok")
		b.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/inside", Args: []string{"inside", "say", strings.Repeat("x", 100<<10) + said}}}}
		r := b.run()
		if r.status == 0 || !strings.Contains(r.stderr, `\x1b[2J\x1b]0;title\a one homerun: create: all is well \u202egnol\xff\x9b`) {
			t.Errorf("status %d: %q", r.status, r.stderr)
		}
		if strings.Count(r.stderr, "\n") != 1 || len(r.stderr) > 1500 || strings.ContainsAny(r.stderr, "\x1b\r\x07\u202e") {
			t.Errorf("%d bytes: %q", len(r.stderr), r.stderr)
		}
		b.spec.Hooks.StartContainer[0].Path = "/in\x1b[2J\nside"
		if r := b.run(); r.status == 0 || strings.ContainsAny(strings.TrimSuffix(r.stderr, "\n"), "\x1b\r") || !strings.Contains(r.stderr, `/in\x1b[2J`) {
			t.Errorf("status %d: %q", r.status, r.stderr)
		}
	})
}

// ownCapabilities are those of this process: the most that root can give.
func ownCapabilities(t *testing.T) (names []string) {
	t.Helper()
	header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	must(t, unix.Capget(&header, &data[0]))
	for _, name := range plan.Capabilities() {
		if n, ok := plan.CapabilityNumber(name); ok && data[n/32].Permitted&(1<<(n%32)) != 0 {
			names = append(names, name)
		}
	}
	if !slices.Contains(names, "CAP_SYS_PTRACE") {
		t.Fatal("root lacks CAP_SYS_PTRACE here")
	}
	return names
}

// TestHookCannotTakeInit: while a hook of the image runs, init waits with every
// capability and without the filter, and shows itself to an unprivileged caller's
// processes. The hook must not get at it, even if config.json gives it every
// capability.
func TestHookCannotTakeInit(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		b := newBundle(t, c, "ok")
		b.writable("log")
		all := ownCapabilities(t)
		b.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Permitted: all, Effective: all, Inheritable: all, Ambient: all}
		b.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/inside", Args: []string{"inside", "record", "/log/hook",
			"write /proc/1/mem", "link /proc/1/fd/0", "link /proc/1/exe"}}}}
		b.startAndEnd("create")
		tries := recorded(t, b.root("log/hook")).Tries
		if len(tries) != 3 {
			t.Errorf("%d tries", len(tries))
		}
		for k, got := range tries {
			if got != "EACCES" && got != "EPERM" {
				t.Errorf("%s: %.60q", k, got)
			}
		}
	})
}
