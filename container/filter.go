package container

import (
	"os"
	"path/filepath"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/seccomp"
)

// filter compiles the seccomp profile, or finds it in the cache.
func (c *Container) filter(request *Request) (*compile.Filter, error) {
	a := request.Bundle.Config.Annotations
	receiver := a["run.oci.seccomp.receiver"]
	if data := a["run.oci.seccomp_bpf_data"]; data != "" {
		f, err := seccomp.FromAnnotation(data, receiver)
		if err != nil {
			return nil, err
		}
		return &compile.Filter{Program: f.Program, Flags: int(f.Flags)}, nil
	}
	if request.Bundle.Seccomp == nil {
		return nil, nil
	}
	f, _, err := seccomp.Load(request.Bundle.Seccomp, seccomp.Options{
		CacheDir:    filepath.Join(c.runtime.Root, ".cache", "seccomp"),
		HelperPath:  Helper(seccomp.HelperName),
		FailUnknown: a["run.oci.seccomp_fail_unknown_syscall"] != "", Receiver: receiver,
	})
	if err != nil {
		return nil, err
	}
	return &compile.Filter{Program: f.Program, Flags: int(f.Flags)}, nil
}

// Helper finds a helper program beside this one or in its libexec directory,
// never through a PATH (CVE-2026-84042); "" when it is in neither.
func Helper(name string) string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	dir := filepath.Dir(self)
	for _, candidate := range []string{filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "homerun", name)} {
		if st, err := os.Stat(candidate); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return candidate
		}
	}
	return ""
}
