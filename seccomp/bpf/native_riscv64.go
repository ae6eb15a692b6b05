package bpf

// NativeAudit is the AUDIT_ARCH_* value of the machine that this program is for.
const NativeAudit = 0xc00000f3
