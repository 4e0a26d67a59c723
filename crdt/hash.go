package crdt

import (
	"encoding/binary"
	"math/bits"
)

// The hashes here place entries and compare states. They are stable across processes and versions,
// because replicas exchange ranges of them, and they are not secret: a digest is evidence against
// accidents, not against a member that forges one.

const (
	k0 = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	k1 = 0xd1b54a32d192ed03 // the same for the plastic number, and
	k2 = 0xaef17502108ef2d9 // its square (Roberts' low-discrepancy constants)
)

// mix folds the 128-bit product of a and b, each set off by a constant.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^k0, b^k1)
	return hi ^ lo
}

// hashString hashes s from a seed.
func hashString(seed uint64, s string) uint64 {
	h, n := seed^k2, uint64(len(s))
	for len(s) >= 16 {
		h = mix(le64(s)^h, le64(s[8:])^k2)
		s = s[16:]
	}
	var a, b uint64
	if len(s) >= 8 {
		a, s = le64(s), s[8:]
	}
	for i := len(s) - 1; i >= 0; i-- {
		b = b<<8 | uint64(s[i])
	}
	return mix(mix(a^h, b^k2), n)
}

func le64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// hashBytes hashes b from a seed, as hashString does the same bytes.
func hashBytes(seed uint64, b []byte) uint64 {
	h, n := seed^k2, uint64(len(b))
	for len(b) >= 16 {
		h = mix(binary.LittleEndian.Uint64(b)^h, binary.LittleEndian.Uint64(b[8:])^k2)
		b = b[16:]
	}
	var x, y uint64
	if len(b) >= 8 {
		x, b = binary.LittleEndian.Uint64(b), b[8:]
	}
	for i := len(b) - 1; i >= 0; i-- {
		y = y<<8 | uint64(b[i])
	}
	return mix(mix(x^h, y^k2), n)
}

func originHash(o Origin) uint64 {
	return mix(binary.LittleEndian.Uint64(o[:8]), binary.LittleEndian.Uint64(o[8:]))
}
