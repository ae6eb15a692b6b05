package security

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// advisory is a row of README.md: what other runtimes got wrong, and the test
// that homerun does not.
type advisory struct {
	id   string
	test func(t *testing.T, c caller)
}

func advisories() []advisory {
	return []advisory{
		{"CVE-2016-9962 init can be looked into while it joins", initIsHidden},
		{"CVE-2016-9962 a process can be looked into while exec starts it", execIsHidden},
		{"CVE-2019-5736 the runtime is written through proc self exe", runtimeUnchanged},
		{"CVE-2019-16884 a volume on proc takes the LSM label", fakeProc},
		{"CVE-2019-18837 a mount target is a link to the host", linkedTarget},
		{"CVE-2019-19921 CVE-2023-27561 CVE-2023-28642 CVE-2025-54867 proc or sys is a link", linkedProc},
		{"CVE-2021-43784 a config of more than 64 KiB is cut off", longConfig},
		{"CVE-2022-29162 CVE-2022-27650 CVE-2025-27612 inheritable capabilities", noInheritable},
		{"CVE-2024-21626 the working directory is a leaked descriptor", leakedDirectory},
		{"CVE-2025-24965 a handler writes through a link", noHandlerWrites},
		{"CVE-2025-31133 CVE-2025-62161 dev null is a link, so a mask is not one", linkedNull},
		{"CVE-2025-52565 dev console is found by path", linkedConsole},
		{"CVE-2025-52881 CVE-2025-62596 a kernel parameter is written to another file", redirectedSysctl},
		{"CVE-2026-30892 a user that is not a number becomes root", oddUsers},
		{"CVE-2026-41579 CVE-2026-47766 dev is a link", linkedDev},
		{"CVE-2026-88264 the console's target is a link", linkedConsole},
		{"CVE-2026-88265 standard streams are chowned through dev null", linkedNullStreams},
		{"CVE-2026-84042 a helper is found in the container or the caller's directory", foreignHelper},
		{"CVE-2026-115521 root.readonly is lost when proc is a volume", readonlyRoot},
		{"runc-4103 a page size names another cgroup file", pageSize},
		{"runc-1.6 without a mount namespace the host is changed", noMountNamespace},
		{"crun-2179 crun-2182 flags get lost on some mounts", readonlyEverywhere},
		{"runc-1980 limits are skipped silently", limitsOrError},
	}
}

// TestAdvisories has one subtest for each advisory and caller. Those that need
// a race are TestExchangeRace and TestSymlinkForest.
func TestAdvisories(t *testing.T) {
	need(t)
	for _, a := range advisories() {
		t.Run(strings.ReplaceAll(a.id, " ", "_"), func(t *testing.T) {
			for _, c := range callers() {
				t.Run(c.name, func(t *testing.T) { a.test(t, c) })
			}
		})
	}
}

// initIsHidden: until the program runs, the files of init's /proc belong to
// nobody in the container, and its memory and descriptors are closed to all. A
// user's exec can join init only if that may be looked at: then its files are
// the user's, and closed to who has fewer capabilities all the same. None of
// them may come by more with --cap.
func initIsHidden(t *testing.T, c caller) {
	b := newBundle(t, c, "wait")
	b.save()
	r := c.homerun(t, "create", "-b", b.dir, b.id())
	if r.status != 0 {
		t.Fatalf("create: %s", r.stderr)
	}
	defer c.homerun(t, "delete", "--force", b.id())
	pid := statePid(t, c, b.id())
	var st unix.Stat_t
	must(t, unix.Stat(fmt.Sprintf("/proc/%d/environ", pid), &st))
	if uid, _ := c.owner(); st.Uid != 0 && !c.user {
		t.Errorf("/proc/%d/environ belongs to %d, so init is dumpable (the container's root is %d)", pid, st.Uid, uid)
	}
	// A process in the container looks from inside.
	tries := []string{"list /proc/1/fd", "read /proc/1/environ", "read /proc/1/mem", "link /proc/1/exe", "link /proc/1/fd/3", "list /proc/1/task/1/fdinfo"}
	for _, flags := range [][]string{nil, {"--cap", "CAP_SYS_PTRACE"}, {"--cap", "CAP_SYS_PTRACE", "--cap", "CAP_SYS_ADMIN"}} {
		rep := c.homerun(t, slices.Concat([]string{"exec"}, flags, []string{b.id(), "/inside", "report"}, tries)...).report(t)
		for _, try := range tries {
			if c.user && try == tries[0] {
				continue // the numbers are the owner's to see; what they lead to is not
			}
			if got := rep.Tries[try]; got != "EACCES" && got != "EPERM" && c.namespace {
				t.Errorf("exec %v: %s: %s", flags, try, got)
			}
		}
	}
}

// runtimeUnchanged: what runs in the container is never the runtime's file.
func runtimeUnchanged(t *testing.T, c caller) {
	hash := func() [32]byte {
		text, err := os.ReadFile(w.homerun)
		must(t, err)
		return sha256.Sum256(text)
	}
	before := hash()
	b := newBundle(t, c)
	b.write("entry", "#!/proc/self/exe\n")
	must(t, os.Chmod(b.root("entry"), 0o755))
	b.spec.Process.Args = []string{"/entry"}
	b.run()
	b.spec.Process.Args = []string{"/proc/self/exe"}
	b.run()
	if hash() != before {
		t.Error("the runtime's binary changed")
	}
	r := newBundle(t, c, "report", "link /proc/self/exe").run().report(t)
	if got := r.Tries["link /proc/self/exe"]; got != "/inside" {
		t.Errorf("/proc/self/exe is %s", got)
	}
}

// fakeProc: with a volume on /proc no label is ever written into it, nor a
// kernel parameter. Where there is no AppArmor the former is refused.
func fakeProc(t *testing.T, c caller) {
	dir := w.path(fmt.Sprintf("fake%d", w.ids.Add(1)))
	uid, gid := c.owner()
	for _, f := range []string{"self/attr/exec", "self/attr/apparmor/exec", "thread-self/attr/exec", "sys/kernel/shm_rmid_forced"} {
		p := filepath.Join(dir, f)
		must(t, os.MkdirAll(filepath.Dir(p), 0o777), os.WriteFile(p, []byte("mine"), 0o666), os.Chown(p, uid, gid))
	}
	defer os.RemoveAll(dir)
	before := describe(t, dir, true)
	for _, profile := range []string{"", "some-profile"} {
		b := newBundle(t, c, "ok")
		b.spec.Mounts = append(without(b.spec.Mounts, "/proc"), specs.Mount{Destination: "/proc", Source: dir, Options: []string{"rbind"}})
		b.spec.Process.ApparmorProfile = profile
		b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
		b.spec.Linux.Sysctl = map[string]string{"kernel.shm_rmid_forced": "1"}
		b.run()
		if after := describe(t, dir, true); after != before {
			t.Errorf("something was written into the volume:\n%s", difference(before, after))
		}
	}
}

// linkedTarget: rootfs/etc leads to the host.
func linkedTarget(t *testing.T, c caller) {
	canary := newCanary(t)
	_, file := sources(t)
	b := newBundle(t, c, "ok")
	b.symlink(canary.dir, "etc")
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/etc/resolv.conf", Source: file, Options: []string{"bind"}})
	b.run()
	canary.intact(t, "a mount on /etc/resolv.conf")
}

// linkedProc: a container whose /proc or /sys is a link does not start.
func linkedProc(t *testing.T, c caller) {
	canary := newCanary(t)
	for _, name := range []string{"proc", "sys"} {
		for _, text := range []string{canary.dir, "/evil", "evil", "../../../../../.." + canary.dir} {
			b := newBundle(t, c, "ok")
			b.mkdir("evil")
			b.symlink(text, name)
			r := b.run()
			canary.intact(t, "a linked /"+name)
			if r.status == 0 || !strings.Contains(r.stderr, "symbolic link") {
				t.Errorf("/%s -> %s: status %d: %s", name, text, r.status, r.stderr)
			}
		}
	}
}

// longConfig: nothing is cut at 16 bits.
func longConfig(t *testing.T, c caller) {
	b := newBundle(t, c, "report")
	for i := range 1000 {
		b.spec.Process.Env = append(b.spec.Process.Env, fmt.Sprintf("V%d=%s", i, strings.Repeat("x", 100)))
	}
	b.spec.Process.Args = append(b.spec.Process.Args, "link /proc/self/ns/mnt", "link /proc/self/ns/user", "cat /proc/self/environ")
	rep := b.run().report(t)
	for _, ns := range []string{"mnt", "user"} {
		outside, err := os.Readlink("/proc/self/ns/" + ns)
		must(t, err)
		if inside := rep.Tries["link /proc/self/ns/"+ns]; inside == outside && (ns == "mnt" || c.namespace) {
			t.Errorf("the container has the host's namespace %s", inside)
		}
	}
	if got := strings.Count(rep.Tries["cat /proc/self/environ"], "\x00V"); got != 1000 {
		t.Errorf("%d of 1000 variables arrived", got)
	}
}

func noInheritable(t *testing.T, c caller) {
	r := newBundle(t, c, "wait").start()
	for _, flags := range [][]string{nil, {"--cap", "CAP_NET_RAW"}} {
		rep := r.exec(flags, "report").report(t)
		if got := rep.Status["CapInh"]; got != set() {
			t.Errorf("exec %v: CapInh is %s", flags, got)
		}
	}
	if got := newBundle(t, c, "report").run().report(t).Status["CapInh"]; got != set() {
		t.Errorf("run: CapInh is %s", got)
	}
}

// leakedDirectory: no descriptor of the host is open when the working directory
// is entered, by run or by exec.
func leakedDirectory(t *testing.T, c caller) {
	r := newBundle(t, c, "wait").start()
	for n := 3; n <= 24; n++ {
		cwd := fmt.Sprintf("/proc/self/fd/%d", n)
		b := newBundle(t, c, "report")
		b.spec.Process.Cwd = cwd
		checkConfined(t, cwd, b.run())
		b = newBundle(t, c, "report")
		b.symlink(cwd, "job")
		b.spec.Process.Cwd = "/job"
		checkConfined(t, "/job -> "+cwd, b.run())
		if n%4 == 0 {
			checkConfined(t, "exec --cwd "+cwd, r.exec([]string{"--cwd", cwd}, "report"))
		}
	}
}

func checkConfined(t *testing.T, what string, r result) {
	t.Helper()
	if r.status != 0 {
		return
	}
	rep := r.report(t)
	if !strings.HasPrefix(rep.Cwd, "/") || strings.Contains(rep.Cwd, "homerun-security") {
		t.Errorf("%s: the working directory is %s", what, rep.Cwd)
	}
	if strings.HasPrefix(what, "/proc") {
		t.Errorf("%s: it runs in %s", what, rep.Cwd)
	}
}

// noHandlerWrites: no annotation makes the runtime write into the rootfs.
func noHandlerWrites(t *testing.T, c caller) {
	canary := newCanary(t)
	for status, annotation := range []string{"module.wasm.image/variant", "run.oci.handler"} {
		b := newBundle(t, c, "ok")
		for _, f := range []string{".krun_config.json", ".krun_vm.json", "run/.containerenv", ".dockerenv", "etc/mtab"} {
			b.symlink(canary.dir+"/file", f)
		}
		b.spec.Annotations = map[string]string{annotation: "krun", "krun.ram_mib": "100"}
		if r := b.run(); r.status != status { // the second one is refused
			t.Errorf("%s: status %d: %s", annotation, r.status, r.stderr)
		}
		canary.intact(t, "a handler")
	}
}

// linkedNull: in a rootfs with its own /dev, or with a volume there, the link is
// not followed to what would be mounted over a masked path. Nothing is made in a
// volume on /dev, so there the container runs.
func linkedNull(t *testing.T, c caller) {
	canary := newCanary(t)
	for _, text := range []string{"/proc/sys/kernel/core_pattern", canary.dir + "/null", "../proc/keys", "../proc/version", "zero"} {
		for _, volume := range []bool{false, true} {
			b := newBundle(t, c, "report", "read /proc/keys", "read /proc/timer_list")
			b.spec.Mounts = without(b.spec.Mounts, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
			if volume {
				dir, _ := sources(t)
				must(t, os.Symlink(text, filepath.Join(dir, "null")), os.WriteFile(filepath.Join(dir, "zero"), []byte("text"), 0o644))
				b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/dev", Source: dir, Options: []string{"rbind"}})
			} else {
				b.symlink(text, "dev/null")
			}
			r := b.run()
			canary.intact(t, "a linked /dev/null")
			if r.status != 0 && !volume {
				continue
			}
			if rep := r.report(t); rep.Tries["read /proc/keys"] != "empty" || rep.Tries["read /proc/timer_list"] != "empty" {
				t.Errorf("/dev/null -> %s: %v", text, rep.Tries)
			}
		}
	}
}

// linkedConsole: the console is bound from the descriptor of a new terminal, on
// a target that is resolved inside the root.
func linkedConsole(t *testing.T, c caller) {
	canary := newCanary(t)
	for _, text := range []string{canary.dir + "/console", canary.dir + "/new", "pts/0", "/proc/sys/kernel/core_pattern"} {
		b := newBundle(t, c, "report", "stat /dev/console", "link /proc/self/fd/0")
		b.symlink(text, "dev/console")
		b.symlink(canary.dir+"/pts/0", "dev/pts.enemy")
		b.spec.Mounts = without(b.spec.Mounts, "/dev", "/dev/shm", "/dev/mqueue")
		b.spec.Process.Terminal = true
		r := b.run()
		canary.intact(t, "a terminal")
		if r.status != 0 {
			continue
		}
		rep := r.report(t)
		if got := rep.Tries["link /proc/self/fd/0"]; !strings.HasPrefix(got, "/dev/pts/") && got != "/dev/console" {
			t.Errorf("/dev/console -> %s: the terminal is %s", text, got)
		}
		// What was mounted on a file of the host cannot be seen from in here.
		if !slices.ContainsFunc(rep.Mounts, func(m string) bool { return strings.Contains(m, " /0 /") && strings.Contains(m, " devpts ") }) {
			t.Errorf("/dev/console -> %s: the terminal is mounted nowhere in the container", text)
		}
	}
}
