package bpf

// Arch describes a calling convention that a filter can tell apart.
type Arch struct {
	// Name is the name in config.json, SCMP_ARCH_X86_64 for example.
	Name string
	// Audit is the AUDIT_ARCH_* value in seccomp_data.arch
	// (linux/audit.h). x86_64 and x32 share one.
	Audit uint32
	// table holds the system call names, or "".
	table string
}

// AuditX86_64 is AUDIT_ARCH_X86_64, the value for both x86_64 and x32.
const AuditX86_64 = 0xc000003e

// arches is every architecture of the runtime specification 1.3.0 with its
// ELF machine number, AUDIT_ARCH_64BIT (bit 31), AUDIT_ARCH_LE (bit 30) and
// AUDIT_ARCH_CONVENTION_MIPS64_N32 (bit 29).
var arches = []Arch{
	{"SCMP_ARCH_X86", 0x40000003, namesX86},
	{"SCMP_ARCH_X86_64", AuditX86_64, namesX86_64},
	{"SCMP_ARCH_X32", AuditX86_64, namesX86_64},
	{"SCMP_ARCH_ARM", 0x40000028, namesARM},
	{"SCMP_ARCH_AARCH64", 0xc00000b7, namesAARCH64},
	{"SCMP_ARCH_LOONGARCH64", 0xc0000102, ""},
	{"SCMP_ARCH_M68K", 0x00000004, ""},
	{"SCMP_ARCH_MIPS", 0x00000008, ""},
	{"SCMP_ARCH_MIPS64", 0x80000008, ""},
	{"SCMP_ARCH_MIPS64N32", 0xa0000008, ""},
	{"SCMP_ARCH_MIPSEL", 0x40000008, ""},
	{"SCMP_ARCH_MIPSEL64", 0xc0000008, ""},
	{"SCMP_ARCH_MIPSEL64N32", 0xe0000008, ""},
	{"SCMP_ARCH_PARISC", 0x0000000f, ""},
	{"SCMP_ARCH_PARISC64", 0x8000000f, ""},
	{"SCMP_ARCH_PPC", 0x00000014, ""},
	{"SCMP_ARCH_PPC64", 0x80000015, ""},
	{"SCMP_ARCH_PPC64LE", 0xc0000015, ""},
	{"SCMP_ARCH_RISCV64", 0xc00000f3, namesRISCV64},
	{"SCMP_ARCH_S390", 0x00000016, ""},
	{"SCMP_ARCH_S390X", 0x80000016, ""},
	{"SCMP_ARCH_SH", 0x4000002a, ""},
	{"SCMP_ARCH_SHEB", 0x0000002a, ""},
}

// Arches lists every architecture of the runtime specification.
func Arches() []Arch { return append([]Arch(nil), arches...) }

// ArchByName finds an architecture by its name in config.json.
func ArchByName(name string) (Arch, bool) {
	for _, a := range arches {
		if a.Name == name {
			return a, true
		}
	}
	return Arch{}, false
}

func archByAudit(audit uint32) (Arch, bool) {
	if audit == AuditX86_64 {
		return ArchByName("SCMP_ARCH_X86_64")
	}
	for _, a := range arches {
		if a.Audit == audit {
			return a, true
		}
	}
	return Arch{}, false
}
