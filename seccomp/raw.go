package seccomp

import (
	"encoding/base64"
	"fmt"

	"github.com/homerun-oci/homerun/seccomp/bpf"
)

// FromAnnotation reads the program of annotation run.oci.seccomp_bpf_data:
// base64 of an array of struct sock_filter, which replaces linux.seccomp.
// receiver is annotation run.oci.seccomp.receiver or linux.seccomp's
// listenerPath; "" when there is neither. The program is checked as the kernel
// does. The flags are those of a profile that names none: SPEC_ALLOW, and
// NEW_LISTENER where the program notifies.
func FromAnnotation(data, receiver string) (*Filter, error) {
	program, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil, fmt.Errorf("seccomp: annotation run.oci.seccomp_bpf_data: %w", err)
	}
	p, err := check(program)
	if err != nil {
		return nil, fmt.Errorf("seccomp: annotation run.oci.seccomp_bpf_data: %w", err)
	}
	f := &Filter{Program: program, Flags: FlagSpecAllow}
	if notifies(p) {
		f.Flags |= FlagNewListener
		f.Listener = true
	}
	return f.WithReceiver(receiver)
}

func notifies(p []bpf.Instruction) bool {
	for _, in := range p {
		if in.Op == bpf.RetK && in.K&bpf.ActionMask == bpf.Notify {
			return true
		}
	}
	return false
}
