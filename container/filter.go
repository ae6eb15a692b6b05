package container

import (
	"bytes"
	"context"
	"os"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/compiler"
)

// filter is the seccomp filter of a container.
func (c *Container) filter(ctx context.Context, b *bundle.Bundle) (*seccomp.Filter, error) {
	return loadFilter(ctx, b, c.runtime.options.Helpers, c.runtime.options.Cache)
}

// Filter compiles the seccomp profile of a bundle, without a cache; nil when it
// has none.
func Filter(ctx context.Context, b *bundle.Bundle, h Helpers) (*seccomp.Filter, error) {
	return loadFilter(ctx, withProfile(b), h, "")
}

// compiledAnnotation has a filter instead of a profile, as crun has it.
const compiledAnnotation = "run.oci.seccomp_bpf_data"

// mayListen reports whether the profile may have a listener: its action's name is
// in the text, unless part of it is escaped, or it comes compiled.
func mayListen(b *bundle.Bundle) bool {
	return b.Config.Annotations[compiledAnnotation] != "" || bytes.Contains(b.Seccomp, []byte("SCMP_ACT_NOTIFY")) ||
		bytes.IndexByte(b.Seccomp, '\\') >= 0
}

// receiverVariable names the socket of an agent for containers whose config
// names none, as crun has it.
const receiverVariable = "RUN_OCI_SECCOMP_RECEIVER"

// loadFilter compiles the seccomp profile, or finds it in the cache.
func loadFilter(ctx context.Context, b *bundle.Bundle, h Helpers, cache string) (*seccomp.Filter, error) {
	a := b.Config.Annotations
	data := a[compiledAnnotation]
	if data == "" && b.Seccomp == nil {
		return nil, nil
	}
	receiver := a["run.oci.seccomp.receiver"]
	if receiver == "" {
		receiver = os.Getenv(receiverVariable)
	}
	if data != "" {
		return seccomp.FromAnnotation(data, receiver)
	}
	helper, places := h.seccomp()
	if helper == "" {
		return nil, compiler.NotInstalled(places)
	}
	f, _, err := compiler.Load(ctx, b.Seccomp, compiler.Options{CacheDir: cache, HelperPath: helper,
		FailUnknown: a["run.oci.seccomp_fail_unknown_syscall"] != "", Receiver: receiver})
	return f, err
}

// withProfile is the bundle with the seccomp profile that a Go program put into
// its Config, which bundle.Decode leaves empty. The profile counts, and what the
// bundle was decoded from does not have it: what is kept for exec and start is
// made from Config.
func withProfile(b *bundle.Bundle) *bundle.Bundle {
	if b.Config.Linux == nil || b.Config.Linux.Seccomp == nil {
		return b
	}
	filtered := *b
	filtered.Seccomp, _ = encode(b.Config.Linux.Seccomp, nil) // none of its types can fail
	filtered.Raw = nil
	return &filtered
}

// program is what the plan needs of a filter.
func program(f *seccomp.Filter) *compile.Filter {
	if f == nil {
		return nil
	}
	return &compile.Filter{Program: f.Program, Flags: int(f.Flags), Agent: f.ListenerPath}
}
