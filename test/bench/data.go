package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
)

// The entries of every row: keys of 16 bytes, values of 100 that do not compress. The seed is fixed,
// so that every side and every round writes the same.
const (
	keyBytes   = 16
	valueBytes = 100
)

func key(i int) string { return fmt.Sprintf("key:%012d", i) }

// valueSource gives a new value at each call; the caller owns it.
func valueSource(seed uint64) func() []byte {
	r := rand.New(rand.NewPCG(seed, 0x65646765))
	return func() []byte {
		v := make([]byte, valueBytes, valueBytes+7)
		for i := 0; i < valueBytes; i += 8 {
			v = binary.LittleEndian.AppendUint64(v[:i], r.Uint64())
		}
		return v[:valueBytes:valueBytes]
	}
}

// keysInOrder gives n keys. The strings lie one after the other in memory.
func keysInOrder(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = key(i)
	}
	return out
}

// keysShuffled gives the same keys in random order, again one after the other in memory, so that a
// walk over them costs a reader no cache miss that is not the store's own.
func keysShuffled(n int) []string {
	r := rand.New(rand.NewPCG(2, 3))
	out := make([]string, n)
	for i, j := range r.Perm(n) {
		out[i] = strings.Clone(key(j))
	}
	return out
}
