package bpf

// NativeAudit is the AUDIT_ARCH_* value of the machine that this program is for.
const NativeAudit = AuditX86_64
