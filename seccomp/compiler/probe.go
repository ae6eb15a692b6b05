package compiler

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/seccomp"
)

const setModeFilter = 1 // SECCOMP_SET_MODE_FILTER

// SupportedFlags lists those of seccomp.Flags that the running kernel takes. It loads
// nothing: the kernel looks at the flags (EINVAL) before it looks for the
// program, which is missing (EFAULT).
func SupportedFlags() []string {
	var names []string
	for _, f := range seccomp.Flags() {
		with := uintptr(f.Value)
		if f.Value == seccomp.FlagWaitKillableRecv {
			with |= seccomp.FlagNewListener // it is EINVAL alone
		}
		_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, setModeFilter, with, 0)
		if errno == unix.EFAULT {
			names = append(names, f.Name)
		}
	}
	return names
}

// SupportedArchitectures lists those of seccomp.Architectures that a profile may name,
// by asking the helper.
func SupportedArchitectures(helper string) ([]string, error) {
	output, err := runHelper(context.Background(), helper, []string{"--features"}, nil)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Architectures []string `json:"archs"`
	}
	if err := json.Unmarshal(output, &answer); err != nil {
		return nil, fmt.Errorf("seccomp: %s: what it says of itself: %w", helper, err)
	}
	return answer.Architectures, nil
}
