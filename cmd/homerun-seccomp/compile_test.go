//go:build cgo

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/bpf"
	"github.com/homerun-oci/homerun/seccomp/bpf/bpftest"
)

// evaluate compiles a profile and runs it over one x86_64 call.
func evaluate(t *testing.T, raw string, d bpftest.Data) string {
	t.Helper()
	f, err := compile([]byte(raw), false)
	if err != nil {
		t.Fatal(err)
	}
	p, err := bpf.Parse(f.Program)
	if err != nil {
		t.Fatal(err)
	}
	if d.Arch == 0 {
		d.Arch = bpf.AuditX86_64
	}
	return bpf.ActionText(bpftest.Interpret(p, d))
}

func TestVerdicts(t *testing.T) {
	podman, _ := os.ReadFile("../../seccomp/testdata/podman.json")
	docker, _ := os.ReadFile("../../seccomp/testdata/docker.json")
	eperm := `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"],"syscalls":[`
	allowSocket := `{"names":["socket"],"action":"SCMP_ACT_ALLOW"},`
	const restart, socket = 0xffffffff, 41
	for _, c := range []struct {
		name, profile string
		d             bpftest.Data
		want          string
	}{
		{"kexec_load in podman's default", string(podman), bpftest.Data{NR: 246}, "ERRNO(1)"},
		{"unshare in podman's default", string(podman), bpftest.Data{NR: 272}, "ALLOW"}, // capabilities judge it
		{"unshare in docker's", string(docker), bpftest.Data{NR: 272}, "ERRNO(1)"},
		{"new call in podman's default", string(podman), bpftest.Data{NR: 600}, "ERRNO(38)"},
		{"read in docker's", string(docker), bpftest.Data{NR: 0}, "ALLOW"},
		{"mount in docker's", string(docker), bpftest.Data{NR: 165}, "ERRNO(1)"},
		{"new call in docker's", string(docker), bpftest.Data{NR: 460}, "ERRNO(38)"},
		{"new call in docker's, x86", string(docker), bpftest.Data{NR: 460, Arch: auditX86}, "ERRNO(38)"},
		{"new call in docker's, x32", string(docker), bpftest.Data{NR: bpf.X32Bit | 460}, "ERRNO(38)"},
		{"x32's own call in docker's", string(docker), bpftest.Data{NR: bpf.X32Bit | 515}, "ALLOW"},
		{"skipped call in docker's", string(docker), bpftest.Data{NR: restart}, "ERRNO(1)"},
		{"AF_ALG in docker's", string(docker), bpftest.Data{NR: socket, Args: [6]uint64{38}}, "ERRNO(1)"},
		{"AF_ALG with bits that the kernel drops", string(docker), bpftest.Data{NR: socket, Args: [6]uint64{1<<32 | 38}}, "ERRNO(1)"},
		{"AF_INET with bits that the kernel drops", string(docker), bpftest.Data{NR: socket, Args: [6]uint64{1<<63 | 2}}, "ALLOW"},
		{"NETLINK_AUDIT with bits that the kernel drops", string(podman), bpftest.Data{NR: socket, Args: [6]uint64{1<<32 | 16, 3, 1<<40 | 9}}, "ERRNO(22)"},
		{"sign-extended ioctl", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["ioctl"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":2147767344,"op":"SCMP_CMP_EQ"}]}]}`,
			bpftest.Data{NR: 16, Args: [6]uint64{0, 0xffffffff80045430}}, "ERRNO(1)"},
		{"AF_INET in docker's", string(docker), bpftest.Data{NR: socket, Args: [6]uint64{2}}, "ALLOW"},
		{"socketcall(SYS_SOCKET) denied as the default", string(docker), bpftest.Data{NR: 102, Arch: auditX86, Args: [6]uint64{1}}, "ERRNO(1)"},
		{"denied as the default, allowed first", eperm + allowSocket + `{"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":38,"op":"SCMP_CMP_EQ"}]}]}`,
			bpftest.Data{NR: socket, Args: [6]uint64{38}}, "ERRNO(1)"},
		{"and the rest is allowed", eperm + allowSocket + `{"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":38,"op":"SCMP_CMP_EQ"}]}]}`,
			bpftest.Data{NR: socket, Args: [6]uint64{2}}, "ALLOW"},
		{"allowing as the default opens nothing", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["socket"],"action":"SCMP_ACT_ALLOW"},{"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":38,"op":"SCMP_CMP_EQ"}]}]}`,
			bpftest.Data{NR: socket, Args: [6]uint64{38}}, "ERRNO(1)"},
		{"two conditions on one argument: either", eperm + `{"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}]}`,
			bpftest.Data{NR: 135, Args: [6]uint64{8}}, "ALLOW"},
		{"x32 where it is not listed", `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`, bpftest.Data{NR: bpf.X32Bit}, "KILL_THREAD"},
		{"new x32 call where it is not listed", `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`, bpftest.Data{NR: bpf.X32Bit | 500}, "KILL_THREAD"},
		{"architecture that is not listed", `{"defaultAction":"SCMP_ACT_ALLOW"}`, bpftest.Data{NR: 1, Arch: auditX86}, "KILL_THREAD"},
		{"new call under a default of ALLOW", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG"}]}`, bpftest.Data{NR: 600}, "ALLOW"},
		{"new call under a default of KILL", `{"defaultAction":"SCMP_ACT_KILL","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG"}]}`, bpftest.Data{NR: 600}, "KILL_THREAD"},
		{"no rules at all", `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5}`, bpftest.Data{NR: 600}, "ERRNO(5)"},
		{"errnoRet 0", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["sync"],"action":"SCMP_ACT_ERRNO","errnoRet":0}]}`, bpftest.Data{NR: 162}, "ERRNO(0)"},
		{"TRACE's number", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["sync"],"action":"SCMP_ACT_TRACE","errnoRet":65535}]}`, bpftest.Data{NR: 162}, "TRACE(65535)"},
	} {
		if got := evaluate(t, c.profile, c.d); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestFlags(t *testing.T) {
	const notify = `"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]`
	for rest, want := range map[string]uint{
		``:            seccomp.FlagSpecAllow,
		`,"flags":[]`: 0,
		`,"flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_TSYNC"]`:  seccomp.FlagLog | seccomp.FlagTSync,
		`,"flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]`:               0,
		`,"flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],` + notify:     seccomp.FlagNewListener | seccomp.FlagWaitKillableRecv,
		`,"flags":["SECCOMP_FILTER_FLAG_TSYNC"],` + notify:                  seccomp.FlagNewListener | seccomp.FlagTSync | seccomp.FlagTSyncESRCH,
		`,"flags":["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],"listenerPath":"/run"`: seccomp.FlagSpecAllow,
	} {
		f, err := compile([]byte(`{"defaultAction":"SCMP_ACT_ALLOW"`+rest+`}`), false)
		if err != nil {
			t.Fatal(err)
		}
		if f.Flags != want {
			t.Errorf("%s: flags %#x, want %#x", rest, f.Flags, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	rule := func(s string) string { return `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[` + s + `]}` }
	for profile, want := range map[string]string{
		`{`:                                   "linux.seccomp: unexpected end",
		`{}`:                                  `linux.seccomp.defaultAction: unknown action ""`,
		`{"defaultAction":"SCMP_ACT_NOTIFY"}`: "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY would stop",
		`{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}`:                                              "linux.seccomp.defaultAction: SCMP_ACT_ALLOW takes no errnoRet",
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":65536}`:                                          "errnoRet 65536 of SCMP_ACT_ERRNO is more than 4095",
		`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_VAX"]}`:                                `architectures[0]: unknown architecture "SCMP_ARCH_VAX"`,
		`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_S390X"]}`:                              "linux.seccomp.architectures[0]: SCMP_ARCH_S390X",
		`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}`:                     `flags[0]: unknown flag "SECCOMP_FILTER_FLAG_NEW_LISTENER"`,
		rule(`{"names":["write"],"action":"SCMP_ACT_NOTIFY"}`):                                                "syscalls[0].action: SCMP_ACT_NOTIFY cannot be used for write",
		rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}`):          "syscalls[0].args[0].index: 6",
		rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"=="}]}`):                   `syscalls[0].args[0].op: unknown operator "=="`,
		rule(`{"names":["read"],"action":"SCMP_ACT_KILL","errnoRet":1}`):                                      "syscalls[0].action: SCMP_ACT_KILL takes no errnoRet",
		rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["nonsense"],"action":"SCMP_ACT_ALLOW"}`): `syscalls[1].names[0]: libseccomp`,
	} {
		_, err := compile([]byte(profile), true)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", profile, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error of several lines: %v", profile, err)
		}
	}
}

func TestUnknownNamesAreIgnored(t *testing.T) {
	if _, err := compile([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["nonsense","read"],"action":"SCMP_ACT_ALLOW"}]}`), false); err != nil {
		t.Error(err)
	}
}

func TestKernelWithoutAnAction(t *testing.T) {
	p, err := readProfile([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	err = p.knownTo("kill_process kill_thread trap errno trace log allow\n")
	if err == nil || !strings.Contains(err.Error(), "syscalls[0]: this kernel has no action user_notif") {
		t.Error(err)
	}
}

func TestNamesAgreeWithLibseccomp(t *testing.T) {
	for _, a := range []string{"SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_RISCV64"} {
		if _, err := libraryArch(a); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	for i, o := range seccomp.Operators() {
		if c := conditions([]arg{{operator: i}})[0].Op; !strings.HasPrefix(operatorNames[o], c.String()) {
			t.Errorf("%s is libseccomp's %s", o, c)
		}
	}
}

var operatorNames = map[string]string{
	"SCMP_CMP_NE": "Not equal", "SCMP_CMP_LT": "Less than", "SCMP_CMP_LE": "Less than or equal to", "SCMP_CMP_EQ": "Equal",
	"SCMP_CMP_GE": "Greater than or equal to", "SCMP_CMP_GT": "Greater than", "SCMP_CMP_MASKED_EQ": "Masked equality",
}
