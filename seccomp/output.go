package seccomp

import (
	"encoding/binary"
	"fmt"

	"github.com/homerun-oci/homerun/seccomp/bpf"
)

// Output is what homerun-seccomp writes to its standard output. All numbers
// are little-endian:
//
//	offset  size  what
//	0       8     "hrSCMP\x00\x01": magic and version of this format
//	8       4     seccomp(2) flags, FlagNewListener when a listener is needed
//	12      4     libseccomp version: major<<16 | minor<<8 | micro
//	16      4     P, the length of the program in bytes
//	20      4     L, the length of listenerPath
//	24      4     M, the length of listenerMetadata
//	28      4     0
//	32      P     the program, an array of struct sock_filter
//	32+P    L, M  listenerPath, listenerMetadata
//
// The listener's strings are there so that no other program has to decode the
// profile.
const outputMagic = "hrSCMP\x00\x01"

const outputHeader = 32

// MaxOutput bounds what is read from the helper and from the cache, in bytes:
// the largest program, two strings of maxText and the header.
const (
	maxText   = 64 << 10
	MaxOutput = outputHeader + bpf.MaxInstructions*bpf.InstructionSize + 2*maxText
)

// EncodeOutput writes the helper's output. library is the version of
// libseccomp as in the header.
func EncodeOutput(f *Filter, library uint32) ([]byte, error) {
	if len(f.ListenerPath) > maxText || len(f.ListenerMetadata) > maxText {
		return nil, fmt.Errorf("seccomp: listenerPath or listenerMetadata is longer than %d bytes", maxText)
	}
	b := []byte(outputMagic)
	for _, n := range []int{int(f.Flags), int(library), len(f.Program), len(f.ListenerPath), len(f.ListenerMetadata), 0} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	b = append(b, f.Program...)
	b = append(b, f.ListenerPath...)
	return append(b, f.ListenerMetadata...), nil
}

// DecodeOutput reads the helper's output and checks the program. The Filter
// shares b's memory.
func DecodeOutput(b []byte) (*Filter, error) {
	if len(b) < outputHeader || string(b[:8]) != outputMagic {
		return nil, fmt.Errorf("seccomp: answer of homerun-seccomp: %d bytes without its magic", len(b))
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(b[8+4*i:]) }
	program, path, metadata := int(word(2)), int(word(3)), int(word(4))
	if program > MaxOutput || path > maxText || metadata > maxText || outputHeader+program+path+metadata != len(b) {
		return nil, fmt.Errorf("seccomp: answer of homerun-seccomp: lengths do not add up to %d bytes", len(b))
	}
	rest := b[outputHeader:]
	f := &Filter{
		Program:          rest[:program:program],
		Flags:            uint(word(0)),
		Listener:         word(0)&FlagNewListener != 0,
		ListenerPath:     string(rest[program : program+path]),
		ListenerMetadata: string(rest[program+path:]),
		Library:          version(word(1)),
	}
	if _, err := check(f.Program); err != nil {
		return nil, err
	}
	return f, nil
}

func version(v uint32) string {
	return fmt.Sprintf("%d.%d.%d", v>>16, v>>8&0xff, v&0xff)
}
