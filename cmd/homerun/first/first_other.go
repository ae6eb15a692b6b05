//go:build !amd64 && !arm64 && !riscv64

package first

// It does not compile, and says why: docs/machines.md.
var _ = homerun_is_for_amd64_arm64_and_riscv64_only
