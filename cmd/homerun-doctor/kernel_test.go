package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/lint"
	"golang.org/x/sys/unix"
)

// kernelOf is a kernel that says of itself what these files do; RELEASE stands for that of this one.
func kernelOf(t *testing.T, files map[string]string) kernel {
	t.Helper()
	var u unix.Utsname
	err := unix.Uname(&u)
	k := kernel{t.TempDir()}
	for name, text := range files {
		name = filepath.Join(k.files, strings.Replace(name, "RELEASE", unix.ByteSliceToString(u.Release[:]), 1))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(name), 0o755)
		}
		if err == nil {
			err = os.WriteFile(name, []byte(text), 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// impossibleBy are the errors that lint has about a bundle with that kernel.
func impossibleBy(t *testing.T, k kernel, config string) []lint.Finding {
	t.Helper()
	l := linter{asked: asked{homerun: "/nowhere/homerun", root: t.TempDir()}, kernel: k}
	all, err := l.findings(t.Context(), bundleOf(t, head+config))
	if err != nil {
		t.Fatal(err)
	}
	var list []lint.Finding
	for _, f := range all {
		if f.Kind.IsError() {
			list = append(list, f)
		}
	}
	return list
}

// wantFindings wants one, with that place and words of message and advice, or none.
func wantFindings(t *testing.T, name string, list []lint.Finding, want string) {
	t.Helper()
	got := ""
	for _, f := range list {
		got += f.Place + ": " + f.Message + "|" + f.Advice
		if f.Kind != lint.KindImpossible || f.Line != 2 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if want == "" && got != "" || !strings.HasPrefix(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", name, got, want)
	}
}

// TestFileSystems: one that the kernel neither has nor could load is said.
func TestFileSystems(t *testing.T) {
	none := map[string]string{}
	few := map[string]string{"/proc/filesystems": "nodev\ttmpfs\nnodev\tproc\n\text4\nnodev\tfuse\n"}
	loads := map[string]string{"/proc/modules": "", "/lib/modules/RELEASE/modules.alias": "alias fs-nfs4 nfsv4\nalias fs-fuse_bpf x\n",
		"/lib/modules/RELEASE/modules.dep": "kernel/fs/xfs/xfs.ko.zst: kernel/lib/libcrc32c.ko.zst\n", "/lib/modules/RELEASE/modules.builtin": "kernel/fs/old.ko\n",
		"/etc/modprobe.d/own.conf": "install fs-mine /sbin/mine\n"}
	maps.Copy(loads, few)
	without := func(name string) map[string]string {
		m := maps.Clone(loads)
		delete(m, name)
		return m
	}
	const gone = `mounts[0].type: the kernel has no file system "`
	for _, c := range []struct {
		name, kind string
		files      map[string]string
		want       string
	}{
		{"known", "ext4", few, ""},
		{"a program's own", "fuse.sshfs", few, ""},
		{"no modules", "xfs", few, gone + `xfs"|/proc/filesystems lists those that it has; a directory of the host is mounted with the type bind`},
		{"misspelt", "tmpsf", few, gone + `tmpsf"; did you mean tmpfs?|`},
		{"too short for a guess", "nfs", map[string]string{"/proc/filesystems": "\txfs\n"}, gone + `nfs"|`},
		{"unlike any", "volume", few, gone + `volume"|`},
		{"nodev is none", "nodev", few, gone + `nodev"|`},
		{"nothing is known", "xfs", none, ""},
		{"a module of that name", "xfs", loads, ""},
		{"a module of another name", "nfs4", loads, ""},
		{"one with another dash", "fuse-bpf", loads, ""},
		{"one that is built in", "old", loads, ""},
		{"one of the administrator's", "mine", loads, ""},
		{"no module", "ntfs", loads, gone + `ntfs"|`},
		{"no list of aliases", "xfz", without("/lib/modules/RELEASE/modules.alias"), ""},
		{"no list of modules", "xfz", map[string]string{"/proc/filesystems": "\text4\n", "/proc/modules": "", "/lib/modules/RELEASE/modules.alias": "alias fs-a b\n"}, ""},
		{"not installed", "xfz", map[string]string{"/proc/filesystems": "\text4\n", "/proc/modules": ""}, ""},
	} {
		config := `"mounts":[{"destination":"/x","type":"` + c.kind + `","source":"x"}],` + namespaces + `}}`
		wantFindings(t, c.name, impossibleBy(t, kernelOf(t, c.files), config), c.want)
	}
	bind := `"mounts":[{"destination":"/x","type":"none","source":"/","options":["rbind"]},{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup"}],` + namespaces + `}}`
	wantFindings(t, "no file system", impossibleBy(t, kernelOf(t, map[string]string{"/proc/filesystems": "nodev\tcgroup\nnodev\tcgroup2\n"}), bind), "")
}

// TestTmpfsOptions: one that a tmpfs does not have is said.
func TestTmpfsOptions(t *testing.T) {
	const gone = `mounts[0].options: a tmpfs has no option "`
	for options, want := range map[string]string{
		`"nosuid","noexec","size=1m,mode=755","tmpcopyup","rro","sync","huge=never","defaults"`: "",
		`"context=system_u:object_r:tmp_t:s0","smackfsroot=x"`:                                  "",
		`"size=1m,siez=1m"`:     gone + `siez"; did you mean size?|tmpfs(5) lists those that it has, and mount(8) those of each mount`,
		`"noexce"`:              gone + `noexce"; did you mean noexec?|`,
		`"nofail"`:              gone + `nofail"|`,
		`"x-systemd.automount"`: gone + `x-systemd.automount"|`,
	} {
		config := `"mounts":[{"destination":"/x","type":"tmpfs","source":"x","options":[` + options + `]}],` + namespaces + `}}`
		wantFindings(t, options, impossibleBy(t, kernel{}, config), want)
	}
	ramfs := `"mounts":[{"destination":"/x","type":"ramfs","source":"x","options":["siez=1m"]}],` + namespaces + `}}`
	wantFindings(t, "another file system", impossibleBy(t, kernelOf(t, nil), ramfs), "")
}
