// Package seccomp turns config.json's linux.seccomp into a filter program.
//
// # Theory of operation
//
// The compiler is libseccomp, in the helper program homerun-seccomp, because
// its start and its work cost ten times what a container's start may cost and
// because it needs cgo. Package seccomp/compiler asks it once per profile and keeps
// the answer in a cache; a hit decodes no JSON and starts no process. This package
// knows what config.json and the helper say: it computes, and acts on nothing.
//
// What the kernel wants of the program that loads a Filter (seccomp(2)):
//
//   - no_new_privs, or CAP_SYS_ADMIN in the user namespace of the process.
//     With process.noNewPrivileges load it last, after capabilities are
//     dropped; without, while CAP_SYS_ADMIN is still there.
//   - seccomp(SECCOMP_SET_MODE_FILTER, Flags, &struct sock_fprog{len, filter}).
//     Its result is a new close-on-exec file descriptor when
//     SECCOMP_FILTER_FLAG_NEW_LISTENER is among the flags.
//   - From then on each call of that thread is filtered, so the descriptor
//     must leave by a process that does not have the filter: one that shares
//     the descriptor table (CLONE_FILES), or the runtime by pidfd_getfd(2).
//     listener.Agent runs there (crun#1002, runc#4328).
//   - Before Linux 5.19 SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is EINVAL.
package seccomp

import (
	"errors"
	"fmt"

	"github.com/homerun-oci/homerun/seccomp/bpf"
)

// Flags of seccomp(2), SECCOMP_FILTER_FLAG_* of linux/seccomp.h.
const (
	FlagTSync            = 1 << 0 // all threads of the process
	FlagLog              = 1 << 1 // Linux 4.14
	FlagSpecAllow        = 1 << 2 // Linux 4.17
	FlagNewListener      = 1 << 3 // Linux 5.0
	FlagTSyncESRCH       = 1 << 4 // Linux 5.7
	FlagWaitKillableRecv = 1 << 5 // Linux 5.19
)

// Filter is a compiled profile. It is a value: nobody changes it once it is made.
type Filter struct {
	// Program is an array of struct sock_filter that bpf.Check accepts.
	Program []byte
	// Flags are seccomp(2)'s, with FlagNewListener when Listener is set.
	Flags uint
	// Listener is true when the profile has SCMP_ACT_NOTIFY: seccomp(2)
	// gives a descriptor, to be sent to ListenerPath.
	Listener bool
	// ListenerPath and ListenerMetadata are linux.seccomp's, the path
	// replaced by WithReceiver.
	ListenerPath     string
	ListenerMetadata string
	// Library is the version of libseccomp that compiled the program,
	// "2.5.4"; "" for a program that came as an annotation.
	Library string
}

// WithReceiver gives f the receiver of an annotation, unless that is "", and
// refuses a filter that notifies nobody: its calls would block or answer ENOSYS
// for good.
func (f *Filter) WithReceiver(path string) (*Filter, error) {
	if path != "" {
		f.ListenerPath = path
	}
	if f.Listener && f.ListenerPath == "" {
		return nil, errors.New("seccomp: linux.seccomp.listenerPath: missing, and SCMP_ACT_NOTIFY needs it (or annotation run.oci.seccomp.receiver)")
	}
	return f, nil
}

// Disassemble prints a program, one line per instruction with jump targets and
// the names of architectures and system calls where the flow of control says
// them. A program that is not whole instructions gives one line that says so.
func Disassemble(program []byte) []string {
	p, err := bpf.Parse(program)
	if err != nil {
		return []string{err.Error()}
	}
	return bpf.Disassemble(p)
}

// check parses and checks a program.
func check(program []byte) ([]bpf.Instruction, error) {
	p, err := bpf.Parse(program)
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	if err := bpf.Check(p); err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	return p, nil
}
