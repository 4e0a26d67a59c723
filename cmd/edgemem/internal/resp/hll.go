package resp

import (
	"encoding/binary"
	"math"
)

// HyperLogLogs as Redis keeps them (P. Flajolet et al., AofA 2007; the estimate by O. Ertl, arXiv:1702.01284): 16,384 registers
// of 6 bits, each the longest run of zeros that a hash showed, in a string that begins with HYLL. The string is one that Redis reads, and the
// estimate is the same to the unit.
//
//	header  "HYLL", encoding, 3 bytes unused, 8 bytes of the last estimate, of which the top bit says that it is not valid
//	dense   6 bits a register, the lowest first
//	sparse  00nnnnnn            n+1 registers are 0
//	        01nnnnnn nnnnnnnn   n+1 registers are 0
//	        1vvvvvnn            n+1 registers are v+1
const (
	hllBits       = 14
	hllRegisters  = 1 << hllBits
	hllRunMax     = 64 - hllBits // what a register counts at most, less 1
	hllHeader     = 16
	hllDenseBytes = hllHeader + (hllRegisters*6+7)/8
	hllSparseMax  = 3000 // bytes, as Redis's hll-sparse-max-bytes
	hllValueMax   = 32   // of a register in the sparse form

	hllDense  = 0
	hllSparse = 1
)

// hllError is what Redis answers.
type hllError string

func (e hllError) Error() string { return string(e) }

const (
	errNotHLL     hllError = "WRONGTYPE Key is not a valid HyperLogLog string value."
	errHLLCorrupt hllError = "INVALIDOBJ Corrupted HLL object detected"
)

// sketch is one in memory.
type sketch struct {
	registers [hllRegisters]uint8
	dense     bool
}

// join reads a string, and takes of each register the larger value.
func (s *sketch) join(b []byte) error {
	switch {
	case len(b) < hllHeader || string(b[:4]) != "HYLL" || b[4] > hllSparse:
		return errNotHLL
	case b[4] == hllSparse:
		return s.joinSparse(b[hllHeader:])
	case len(b) != hllDenseBytes:
		return errNotHLL
	}
	s.dense = true
	body := b[hllHeader:]
	for i := range s.registers {
		at := i * 6 / 8
		v := uint16(body[at])
		if at+1 < len(body) {
			v |= uint16(body[at+1]) << 8
		}
		s.registers[i] = max(s.registers[i], uint8(v>>(i*6%8))&63)
	}
	return nil
}

func (s *sketch) joinSparse(b []byte) error {
	i := 0
	for len(b) > 0 {
		value, run, size := uint8(0), 0, 1
		switch op := b[0]; {
		case op&0x80 != 0:
			value, run = op>>2&31+1, int(op&3)+1
		case op&0x40 == 0:
			run = int(op&63) + 1
		case len(b) < 2:
			return errHLLCorrupt
		default:
			run, size = int(op&63)<<8|int(b[1])+1, 2
		}
		if b = b[size:]; i+run > hllRegisters {
			return errHLLCorrupt
		}
		for end := i + run; i < end; i++ {
			s.registers[i] = max(s.registers[i], value)
		}
	}
	if i != hllRegisters {
		return errHLLCorrupt
	}
	return nil
}

// add counts an element; changed reports that it was seen to be new.
func (s *sketch) add(element []byte) (changed bool) {
	hash := murmur64(element)
	i := hash & (hllRegisters - 1)
	run := uint8(1)
	for rest := hash>>hllBits | 1<<hllRunMax; rest&1 == 0; rest >>= 1 {
		run++
	}
	if run <= s.registers[i] {
		return false
	}
	s.registers[i] = run
	return true
}

// bytes is the string: sparse where that is short, unless it was dense before.
func (s *sketch) bytes() []byte {
	if !s.dense {
		if b, ok := s.sparse(); ok {
			return b
		}
	}
	b := hllHead(hllDense, hllDenseBytes)
	b = b[:hllDenseBytes]
	body := b[hllHeader:]
	for i, v := range s.registers {
		at, shift := i*6/8, i*6%8
		body[at] |= v << shift
		if shift > 2 {
			body[at+1] |= v >> (8 - shift)
		}
	}
	return b
}

func hllHead(encoding byte, room int) []byte {
	b := make([]byte, hllHeader, max(room, hllHeader))
	copy(b, "HYLL")
	b[4] = encoding
	b[hllHeader-1] = 0x80 // there is no estimate yet
	return b
}

func (s *sketch) sparse() (b []byte, ok bool) {
	b = hllHead(hllSparse, 64)
	for i := 0; i < hllRegisters; {
		v, run := s.registers[i], 1
		for i+run < hllRegisters && s.registers[i+run] == v {
			run++
		}
		if v > hllValueMax || len(b) > hllSparseMax {
			return nil, false
		}
		b = appendRun(b, v, run)
		i += run
	}
	return b, len(b) <= hllSparseMax
}

func appendRun(b []byte, v uint8, run int) []byte {
	switch {
	case v == 0 && run <= 64:
		return append(b, byte(run-1))
	case v == 0:
		return append(b, 0x40|byte((run-1)>>8), byte(run-1))
	}
	for ; run > 0; run -= 4 {
		b = append(b, 0x80|(v-1)<<2|byte(min(run, 4)-1))
	}
	return b
}

// count estimates how many different elements were added.
func (s *sketch) count() int64 {
	var histogram [64]int
	for _, v := range s.registers {
		histogram[v]++
	}
	const m = float64(hllRegisters)
	z := m * hllTau((m-float64(histogram[hllRunMax+1]))/m)
	for i := hllRunMax; i >= 1; i-- {
		z += float64(histogram[i])
		z *= 0.5
	}
	z += m * hllSigma(float64(histogram[0])/m)
	return int64(math.Round(0.721347520444481703680 * m * m / z))
}

func hllSigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		x *= x
		before := z
		if z += x * y; z == before {
			return z
		}
		y += y
	}
}

func hllTau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		before := z
		y *= 0.5
		if z -= (1 - x) * (1 - x) * y; z == before {
			return z / 3
		}
	}
}

// murmur64 is MurmurHash64A (A. Appleby) with the seed of Redis's HyperLogLogs.
func murmur64(b []byte) uint64 {
	const (
		m = 0xc6a4a7935bd1e995
		r = 47
	)
	h := 0xadc83b19 ^ uint64(len(b))*m
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
