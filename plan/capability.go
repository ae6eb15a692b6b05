package plan

import (
	"strconv"
	"strings"
)

// capabilityNames holds the capabilities by number: capabilities(7).
const capabilityNames = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP " +
	"LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE " +
	"SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME " +
	"SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG " +
	"WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"

// Capabilities lists the names of all known capabilities, in the order of
// their numbers.
func Capabilities() []string {
	names := strings.Fields(capabilityNames)
	for i := range names {
		names[i] = "CAP_" + names[i]
	}
	return names
}

// CapabilityName is the name of capability n, or its number when unknown.
func CapabilityName(n int) string {
	at := 0
	for word := range strings.SplitSeq(capabilityNames, " ") {
		if at == n {
			return "CAP_" + word
		}
		at++
	}
	return strconv.Itoa(n)
}

// CapabilityNumber finds a capability by its name with CAP_ in front.
func CapabilityNumber(name string) (n int, ok bool) {
	want, ok := strings.CutPrefix(name, "CAP_")
	if !ok || want == "" {
		return 0, false
	}
	rest := capabilityNames
	for n = 0; rest != ""; n++ {
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		if word == want {
			return n, true
		}
	}
	return 0, false
}
