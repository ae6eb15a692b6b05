package compile

import (
	"errors"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// failure is an operation of a real plan that fails.
type failure struct {
	name string
	// config and facts are patches, as in the golden files.
	config, facts string
	// step begins the line of the operation, without its result.
	step string
	// errno is what it fails with; where that is 0, result is what it returned.
	errno  unix.Errno
	result int
}

// TestExplain holds the text of each failure against the catalogue, which is
// what people read: go test ./compile -update rewrites it.
func TestExplain(t *testing.T) {
	const file = "testdata/explain/catalogue.txtar"
	want := map[string]string{}
	for _, s := range readArchive(t, file).sections {
		want[s.name] = s.text
	}
	got := &archive{comment: "What homerun says when an operation fails. TestExplain has the operations.\n"}
	for _, f := range failures() {
		text := f.text(t)
		got.sections = append(got.sections, section{f.name, text})
		if !*update && want[f.name] != text {
			t.Errorf("%s, want:\n%sgot:\n%s", f.name, want[f.name], text)
		}
		delete(want, f.name)
	}
	if *update {
		got.write(t, file)
		return
	}
	for name := range want {
		t.Errorf("%s is in the catalogue only", name)
	}
}

func (f failure) text(t *testing.T) string {
	t.Helper()
	e := f.explain(t)
	text := e.Error() + "\n" + e.Step + "\n"
	if e.Hint != "" {
		text += "hint: " + e.Hint + "\n"
	}
	return text
}

func (f failure) explain(t *testing.T) *fault.Error {
	t.Helper()
	p, facts := f.plan(t)
	for i := range p.Len() {
		if !strings.HasPrefix(p.Text(i), f.step) {
			continue
		}
		result := f.result
		if f.errno != 0 {
			result = -int(f.errno)
		}
		e := Explain(p, facts, i, result)
		checkExplanation(t, f, e)
		return e
	}
	t.Fatalf("%s: no step begins with %s", f.name, f.step)
	return nil
}

func (f failure) plan(t *testing.T) (*plan.Plan, *host.Facts) {
	t.Helper()
	b, facts := golden{sections: map[string]string{"config.json": f.config, "facts.json": f.facts}}.input(t)
	w := wishes()
	w.Create = true
	r, err := compileAnswered(b.Config, facts, w)
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	return r.Plan, facts
}

// checkExplanation wants the errno to be there for callers, and last in the
// first line; podman and others match its words.
func checkExplanation(t *testing.T, f failure, e *fault.Error) {
	t.Helper()
	if f.errno != 0 && !errors.Is(e, e.Errno) || f.errno == 0 && e.Errno == 0 && e.Unwrap() != nil {
		t.Errorf("%s: the error wraps %v", f.name, e.Unwrap())
	}
	if e.Errno != 0 && !strings.Contains(e.Error(), e.Errno.Error()) && !strings.Contains(e.Error(), f.errno.Error()) {
		t.Errorf("%s: the line %q lacks the errno's text", f.name, e.Error())
	}
	for _, phrase := range []string{"not found", "no such file", "not a directory", "permission denied", "operation not permitted"} {
		if strings.Contains(e.Hint, phrase) {
			t.Errorf("%s: podman would take the hint %q for another error", f.name, e.Hint)
		}
	}
	if strings.Contains(e.Error(), "\n") {
		t.Errorf("%s: the first line is more than one: %q", f.name, e.Error())
	}
}

func failures() []failure {
	const sh = `{"process": {"args": ["app"], "env": ["PATH=/usr/bin:/bin"]}}`
	const root = `{"process": {"uid": 0, "gid": 0}, "subordinate": {"uids": null, "gids": null}}`
	const labeled, selinux = `{"process": {"selinuxLabel": "u:r:t:s0"}, "linux": {"mountLabel": "u:r:f:s0"}, "mounts": [{"destination": "/q", "type": "mqueue"}, {"destination": "/t", "type": "tmpfs", "options": ["mode=755"]}]}`, `{"lsm": {"selinux": "yes"}}`
	const oneID = `{"linux": {"uidMappings": [{"hostID": 1001, "size": 1}], "gidMappings": [{"hostID": 1001, "size": 1}]}}`
	return append([]failure{
		{"exec-not-found", sh, "", `faccessat(AT_FDCWD, "/bin/app", F_OK)`, unix.ENOENT, 0},
		{"exec-not-found-by-path", "", "", `faccessat(AT_FDCWD, "/bin/true", F_OK)`, unix.ENOENT, 0},
		{"exec-below-a-file", "", "", `faccessat(AT_FDCWD, "/bin/true", F_OK)`, unix.ENOTDIR, 0},
		{"exec-forbidden-directory", "", "", `faccessat(AT_FDCWD, "/bin/true", F_OK)`, unix.EACCES, 0},
		{"exec-directory", "", "", `faccessat(AT_FDCWD, "/bin/true/.", F_OK)`, 0, 0},
		{"exec-not-executable", "", "", `execve("/bin/true"`, unix.EACCES, 0},
		{"exec-wrong-interpreter", "", "", `execve("/bin/true"`, unix.ENOENT, 0},
		{"exec-wrong-format", "", "", `execve("/bin/true"`, unix.ENOEXEC, 0},
		{"exec-too-large", "", "", `execve("/bin/true"`, unix.E2BIG, 0},
		{"exec-no-memory", "", "", `execve("/bin/true"`, unix.ENOMEM, 0},
		{"exec-label-refused", labeled, selinux, `execve("/bin/true"`, unix.EPERM, 0},
		{"label-unknown", labeled, selinux, `write($attr, "u:r:t:s0"`, unix.EINVAL, 0},
		{"label-refused", labeled, selinux, `write($attr, "u:r:t:s0"`, unix.EACCES, 0},
		{"label-of-mounts-unknown", labeled, selinux, `fsconfig($fs2, FSCONFIG_SET_STRING, "context"`, unix.EINVAL, 0},
		{"label-in-a-user-namespace", labeled, selinux, `fsconfig($fs2, FSCONFIG_CMD_CREATE`, unix.EACCES, 0},
		{"label-of-queues-refused", labeled, selinux, `fsetxattr($queues`, unix.EACCES, 0},
		{"userns-sysctl", "", `{"kernel": {"userNamespaces": false, "userNamespaceRestricted": "kernel.unprivileged_userns_clone"}}`, `clone3(`, unix.EPERM, 0},
		{"userns-apparmor", "", `{"kernel": {"userNamespaces": false, "userNamespaceRestricted": "kernel.apparmor_restrict_unprivileged_userns"}}`, `clone3(`, unix.EPERM, 0},
		{"userns-used-up", "", `{"kernel": {"userNamespaces": false, "maxUserNamespaces": 0}}`, `clone3(`, unix.ENOSPC, 0},
		{"userns-too-deep", "", "", `clone3(`, unix.EUSERS, 0},
		{"clone-as-root", `{"linux": {"namespaces": [{"type": "mount"}]}}`, root, `clone3(`, unix.EPERM, 0},
		{"namespaces-used-up", `{"linux": {"namespaces": [{"type": "network"}, {"type": "mount"}]}}`, root, `clone3(`, unix.ENOSPC, 0},
		{"clone-filtered", "", "", `clone(`, unix.EPERM, 0},
		{"clone-restricted", "", `{"kernel": {"userNamespaces": false, "userNamespaceRestricted": "kernel.unprivileged_userns_clone"}}`, `clone(`, unix.EPERM, 0},
		{"clone-filtered-no-processes", "", "", `clone(`, unix.EAGAIN, 0},
		{"clone-no-processes", "", "", `clone3(`, unix.EAGAIN, 0},
		{"clone-at-a-limit", "", `{"process": {"processLimit": "pids.max of the cgroup /a/b, which is 10,"}}`, `clone3(`, unix.EAGAIN, 0},
		{"map-refused", oneID, "", `write($file, "0 1001 1\n"`, unix.EPERM, 0},
		{"uid-unmapped", "", "", `setresuid(`, unix.EINVAL, 0},
		{"groups-refused", `{"process": {"user": {"additionalGids": [5]}}}`, "", `setgroups(`, unix.EPERM, 0},
		{"group-unmapped", `{"process": {"user": {"additionalGids": [6]}}}`, "", `setgroups(`, unix.EINVAL, 0},
		{"rlimit-above-hard", `{"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 9000, "hard": 9000}]}}`, "", `prlimit64(`, unix.EPERM, 0},
		{"rlimit-above-nr-open", `{"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 9000, "hard": 9000}]}}`, `{"process": {"capabilities": 16777216}}`, `prlimit64(`, unix.EPERM, 0},
		{"rlimit-of-no-known-limit", `{"process": {"rlimits": [{"type": "RLIMIT_CORE", "soft": 9000, "hard": 9000}]}}`, "", `prlimit64(`, unix.EPERM, 0},
		{"cwd-missing", `{"process": {"cwd": "/home/web"}}`, "", `chdir("/home/web")`, unix.ENOENT, 0},
		{"cwd-forbidden", `{"process": {"cwd": "/home/web"}}`, "", `chdir("/home/web")`, unix.EACCES, 0},
		{"runtime-died", "", "", `read($sync`, 0, 0},
		{"start-died", "", "", `read($start`, 0, 0},
		{"no-new-privileges-refused", "", "", `prctl(PR_SET_NO_NEW_PRIVS`, unix.EINVAL, 0},
		{"hostname-refused", `{"hostname": "web"}`, "", `sethostname(`, unix.EPERM, 0},
		{"sysctl-unknown", `{"linux": {"sysctl": {"kernel.msgmax": "1"}}}`, "", `openat2($ownproc, "sys/kernel/msgmax"`, unix.ENOENT, 0},
		{"sysctl-value", `{"linux": {"sysctl": {"kernel.msgmax": "x"}}}`, "", `write($sysctl`, unix.EINVAL, 0},
	}, mountFailures()...)
}

func mountFailures() []failure {
	const bind = `{"mounts": [{"destination": "/data", "source": "/srv", "options": ["bind", "ro", "dev"]}]}`
	const tmpfs = `{"mounts": [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["sise=5", "noswapp"]}]}`
	const proc = `{"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]}`
	const queues = `{"mounts": [{"destination": "/q", "type": "mqueue"}]}`
	const sysfs = `{"mounts": [{"destination": "/sys", "type": "sysfs", "source": "sysfs"}]}`
	const ext4 = `{"mounts": [{"destination": "/disk", "type": "ext4", "source": "/dev/sda"}]}`
	const directory, file = `{"sources": {"/srv": {"kind": "directory"}}}`, `{"sources": {"/srv": {"kind": "file"}}}`
	const below = `{"mounts": [{"destination": "/a/b", "source": "/srv", "options": ["bind"]}]}`
	const nested = `{"userNamespace": {"initial": false}}`
	return []failure{
		{"mount-option-unknown", tmpfs, "", `fsconfig($fs, FSCONFIG_SET_STRING, "sise"`, unix.EINVAL, 0},
		{"mount-option-unknown-flag", tmpfs, "", `fsconfig($fs, FSCONFIG_SET_FLAG, "noswapp"`, unix.EINVAL, 0},
		{"mount-option-bad-together", tmpfs, "", `fsconfig($fs, FSCONFIG_CMD_CREATE`, unix.EINVAL, 0},
		{"mount-type-unknown", ext4, "", `fsopen("ext4"`, unix.ENODEV, 0},
		{"mount-type-forbidden", ext4, "", `fsopen("ext4"`, unix.EPERM, 0},
		{"mount-type-forbidden-late", ext4, "", `fsconfig($fs, FSCONFIG_CMD_CREATE`, unix.EPERM, 0},
		{"mount-type-forbidden-nested", ext4, nested, `fsconfig($fs, FSCONFIG_CMD_CREATE`, unix.EPERM, 0},
		{"mount-proc-covered", proc, "", `fsmount($fs`, unix.EPERM, 0},
		{"mount-proc-joined", proc, "", `fsconfig($fs, FSCONFIG_CMD_CREATE`, unix.EPERM, 0},
		{"mount-queues-joined", queues, "", `fsconfig($fs, FSCONFIG_CMD_CREATE`, unix.EPERM, 0},
		{"mount-sysfs-foreign-network", sysfs, "", `fsconfig($fs, FSCONFIG_CMD_CREATE`, unix.EPERM, 0},
		{"mount-source-gone", bind, "", `open_tree(AT_FDCWD, "/srv"`, unix.ENOENT, 0},
		{"mount-source-with-mounts-below", bind, "", `open_tree(AT_FDCWD, "/srv"`, unix.EINVAL, 0},
		{"mount-flags-locked", bind, "", `mount_setattr($source, "", AT_EMPTY_PATH, `, unix.EPERM, 0},
		{"mount-target-read-only", bind, "", `mkdirat($root, "data"`, unix.EROFS, 0},
		{"mount-target-forbidden", bind, "", `mkdirat($root, "data"`, unix.EACCES, 0},
		{"mount-target-unmapped", bind, "", `mkdirat($root, "data"`, unix.EOVERFLOW, 0},
		{"mount-target-unreachable", bind, "", `openat2($root, "data"`, unix.EACCES, 0},
		{"mount-target-filtered", bind, "", `openat2($root, "data"`, unix.ENOSYS, 0},
		{"mount-target-loop", bind, "", `openat2($root, "data"`, unix.ELOOP, 0},
		{"mount-target-link-at-proc", proc, "", `openat2($root, "proc"`, unix.ELOOP, 0},
		{"mount-directory-on-file", bind, directory, `move_mount($source`, unix.EINVAL, 0},
		{"mount-directory-on-file-by-errno", bind, directory, `move_mount($source`, unix.ENOTDIR, 0},
		{"mount-file-on-directory", bind, file, `move_mount($source`, unix.EINVAL, 0},
		{"mount-tmpfs-on-file", `{"mounts": [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]}`, "", `move_mount($tmp`, unix.EINVAL, 0},
		{"mount-below-file", below, "", `openat2($root, "a"`, unix.ENOTDIR, 0},
		{"device-on-directory", "", `{"sources": {"/dev/null": {"kind": "char", "rdev": 259, "error": null}}}`, `move_mount($device`, unix.EINVAL, 0},
		{"root-propagation", "", "", `mount_setattr(AT_FDCWD, "/"`, unix.EPERM, 0},
		{"root-read-only", `{"root": {"readonly": true}}`, "", `mount_setattr($root, "", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY`, unix.EPERM, 0},
		{"root-on-ramfs", "", "", `pivot_root(`, unix.EINVAL, 0},
		{"read-only-path", `{"linux": {"readonlyPaths": ["/proc/sys"]}}`, "", `mount_setattr($copy`, unix.EPERM, 0},
		{"masked-path", `{"linux": {"maskedPaths": ["/proc/kcore"]}}`, "", `move_mount($null2`, unix.EINVAL, 0},
		{"device-missing", "", `{"sources": {"/dev/null": {"kind": "char", "rdev": 259, "error": null}}}`, `open_tree(AT_FDCWD, "/dev/null"`, unix.ENOENT, 0},
	}
}

// TestExplainForeign: what names a path or a program has it as text, in one line
// of bounded length, for Go programs too.
func TestExplainForeign(t *testing.T) {
	enemy := "/\x1b[2J\nhint: \u202e" + strings.Repeat("x", 4000)
	b, facts := golden{}.input(t)
	b.Config.Process.Cwd, b.Config.Process.Args = enemy, []string{enemy}
	r, err := compileAnswered(b.Config, facts, wishes())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for i := range r.Plan.Len() {
		e := Explain(r.Plan, facts, i, -int(unix.ENOENT))
		text := e.Error() + e.Step
		if strings.ContainsAny(text, "\x1b\n\u202e") || len(text) > 6000 {
			t.Errorf("step %d: %d bytes: %.300q", i+1, len(text), text)
		}
		if strings.Contains(e.Error(), `\x1b[2J\nhint`) {
			found++
		}
	}
	if found < 2 {
		t.Errorf("%d steps name the path", found)
	}
}
