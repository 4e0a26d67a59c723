package crdt

import (
	"encoding/binary"
	"math/bits"
)

// The hashes here place entries and compare states. They are stable across processes and versions, because replicas
// exchange ranges of them. All members of a fabric use one key, which clients do not know: whoever could choose keys
// that hash alike would make long runs in a table, and cells that no chunk can part. A digest is evidence against accidents, not
// against a member that forges one.

// hashKey is Config.HashKey.
type hashKey struct{ a, b uint64 }

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

// string hashes s from a seed.
func (k hashKey) string(seed uint64, s string) uint64 {
	h, n, second := seed^k2^k.a, uint64(len(s)), k2^k.b
	for len(s) >= 16 {
		h = mix(le64(s)^h, le64(s[8:])^second)
		s = s[16:]
	}
	var a, b uint64
	if len(s) >= 8 {
		a, s = le64(s), s[8:]
	}
	for i := len(s) - 1; i >= 0; i-- {
		b = b<<8 | uint64(s[i])
	}
	return mix(mix(a^h, b^second), n^k.a)
}

func le64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// bytes hashes b from a seed, as string does the same bytes.
func (k hashKey) bytes(seed uint64, b []byte) uint64 {
	h, n, second := seed^k2^k.a, uint64(len(b)), k2^k.b
	for len(b) >= 16 {
		h = mix(binary.LittleEndian.Uint64(b)^h, binary.LittleEndian.Uint64(b[8:])^second)
		b = b[16:]
	}
	var x, y uint64
	if len(b) >= 8 {
		x, b = binary.LittleEndian.Uint64(b), b[8:]
	}
	for i := len(b) - 1; i >= 0; i-- {
		y = y<<8 | uint64(b[i])
	}
	return mix(mix(x^h, y^second), n^k.a)
}

func originHash(o Origin) uint64 {
	return mix(binary.LittleEndian.Uint64(o[:8]), binary.LittleEndian.Uint64(o[8:]))
}
