package crdt

import (
	"encoding/binary"
	"math"
)

// HLLCount estimates how many distinct elements were added to the HyperLogLogs at keys together; absent ones count as
// empty. Of a single one that carries a count it gives that: Redis writes one when it counts, a View writes nothing. It is the number
// that Redis gives. Errors: ErrWrongType, ErrNotHLL, ErrHLLCorrupt, ErrUnreadable, ErrAway of a lazy View.
func (v *View) HLLCount(keys ...string) (int64, error) {
	if len(keys) == 1 {
		val, ok, err := v.Get(keys[0])
		if err != nil || !ok {
			return 0, err
		}
		if n, cached := cachedCount(val); cached {
			return n, nil
		}
	}
	g, _, err := v.union(keys)
	if err != nil {
		return 0, err
	}
	return g.count(), nil
}

// cachedCount is the count that a HyperLogLog carries. It is not compared with the registers, which may even be corrupt.
func cachedCount(val []byte) (n int64, ok bool) {
	if checkHLL(val) == ErrNotHLL || val[hllHeaderBytes-1]&hllNoCount != 0 {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(val[hllCountFirst:])), true
}

// count is Ertl's improved raw estimator (algorithm 6). Products are rounded before they are added, so that all
// processors give one number.
func (g *registers) count() int64 {
	const m = float64(hllRegisters)
	var histogram [64]int
	for _, value := range g {
		histogram[value]++
	}
	z := m * tau((m-float64(histogram[hllRankBits+1]))/m)
	for i := hllRankBits; i >= 1; i-- {
		z = 0.5 * (z + float64(histogram[i]))
	}
	z += float64(m * sigma(float64(histogram[0])/m))
	const alpha = 0.721347520444481703680 // 1 / (2 ln 2)
	n := math.Round(alpha * m * m / z)
	if n >= math.MaxInt64 { // no estimate: all registers are beyond what an element can raise them to
		return math.MinInt64
	}
	return int64(n)
}

// sigma is Ertl's σ, of the share of registers that are 0.
func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for was := -1.0; z != was; y += y {
		x *= x
		was = z
		z += float64(x * y)
	}
	return z
}

// tau is Ertl's τ, of the share of registers that are not full.
func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for was := -1.0; z != was; {
		x = math.Sqrt(x)
		was = z
		y *= 0.5
		z -= float64(float64((1-x)*(1-x)) * y)
	}
	return z / 3
}

// hllSeed is Redis's.
const hllSeed = 0xadc83b19

// murmur64A is Appleby's MurmurHash2, in the version for 64-bit processors, on little-endian words.
func murmur64A(b []byte, seed uint64) uint64 {
	const m, r = 0xc6a4a7935bd1e995, 47
	h := seed ^ uint64(len(b))*m
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * m
		k ^= k >> r
		h = (h ^ k*m) * m
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		h = (h ^ binary.LittleEndian.Uint64(tail[:])) * m
	}
	h ^= h >> r
	h *= m
	return h ^ h>>r
}
