package compiler

import (
	"encoding/binary"
	"strconv"
)

// material joins what a filter depends on: the raw linux.seccomp JSON, the identity of
// the helper (which stands for the version of libseccomp) and
// /proc/sys/kernel/seccomp/actions_avail. Each part comes after its length, so that no
// two lists of parts give the same bytes.
func material(raw []byte, helperIdentity, kernelActions string) []byte {
	b := make([]byte, 0, len(raw)+len(helperIdentity)+len(kernelActions)+12)
	for _, s := range []string{helperIdentity, kernelActions} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(raw)))
	return append(b, raw...)
}

// keyOf names the cache entry of what a filter depends on: 16 hexadecimal digits.
//
// The hash is short and not cryptographic, on purpose. An entry holds all of
// what its key is made of, and a hit compares it byte by byte: a collision,
// even one that somebody made, is a miss and never another profile's filter.
// That is stronger than any hash, takes 6 µs for podman's profile where
// SHA-256 takes 9, and spares the main binary the start-up (0.09 ms) and the
// 160 KB of crypto/sha256 with its FIPS 140 machinery.
func keyOf(material []byte) string {
	const digits = 16
	s := strconv.FormatUint(fold(material), 16)
	for len(s) < digits {
		s = "0" + s
	}
	return s
}

// fold hashes b eight bytes at a time: multiply, then bring the high bits
// down. It finds damage and spreads names; it withstands nobody.
func fold(b []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio
	h := uint64(len(b)) * odd
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ binary.LittleEndian.Uint64(b)) * odd
		h ^= h >> 32
	}
	var last [8]byte
	copy(last[:], b)
	h = (h ^ binary.LittleEndian.Uint64(last[:])) * odd
	return h ^ h>>29
}
