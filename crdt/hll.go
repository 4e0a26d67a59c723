package crdt

import (
	"errors"
	"math/bits"
)

// A HyperLogLog counts distinct elements within 0.81 % of a standard error, in at most 12 KiB. It is a string in Redis's own
// form, so that it can be read, copied and written as one, by Redis as well. Its registers are joined by maximum: where the
// register that shows is a HyperLogLog, all its concurrent siblings that are one count with it. A sibling that is none, of
// a plain SET, shows alone if it is the latest, and not at all otherwise.
//
//	value        "HYLL", form, 3 bytes, 8 bytes of a cached count (little endian; the highest bit set: none), registers
//	form 0       dense: 16,384 registers of 6 bits, from the lowest bit up
//	form 1       sparse: 00nnnnnn  n+1 registers are 0
//	                     01nnnnnn nnnnnnnn  the same, of up to 16,384
//	                     1vvvvvnn  n+1 registers are v+1
//	an element   raises one register, named by 14 bits of its hash, to 1 + the zeros before the first of the 50 others
//	cost         adding is O(16,384) and writes the whole value where a register rises; a read of k siblings is O(k·16,384)
//
// An element is added by a write of the whole value, so what was counted when it was added lives as long as it does: a DEL
// that is concurrent with an add removes nothing of what that add had seen.
//
// See Flajolet, Fusy, Gandouet and Meunier, "HyperLogLog", 2007, and Ertl, "New cardinality estimation algorithms for
// HyperLogLog sketches", 2017 (hllcount.go).

// ErrNotHLL is returned for a string that does not begin as a HyperLogLog does.
var ErrNotHLL = errors.New("crdt: the string is no HyperLogLog")

// ErrHLLCorrupt is returned for a string that begins as a HyperLogLog, and whose registers are not 16,384.
var ErrHLLCorrupt = errors.New("crdt: the HyperLogLog is corrupt")

const (
	hllMagic       = "HYLL"
	hllRegisters   = 1 << hllIndexBits
	hllIndexBits   = 14
	hllRankBits    = 64 - hllIndexBits
	hllHeaderBytes = 16
	hllDenseBytes  = hllHeaderBytes + hllRegisters*6/8
	hllSparseMax   = 3000 // bytes; as Redis's default of hll-sparse-max-bytes
	hllDense       = 0
	hllSparse      = 1

	hllRunMax     = 64 // registers in one byte of zeros
	hllValueMax   = 32 // what a sparse register can be
	hllValueRun   = 4  // registers in one byte of equal values
	hllNoCount    = 0x80
	hllCountFirst = 8
)

// registers are those of one HyperLogLog, or of several that are joined.
type registers [hllRegisters]uint8

// checkHLL says whether val is a HyperLogLog: ErrNotHLL, ErrHLLCorrupt or nil.
func checkHLL(val []byte) error {
	switch {
	case len(val) < hllHeaderBytes || string(val[:4]) != hllMagic || val[4] > hllSparse,
		val[4] == hllDense && len(val) != hllDenseBytes:
		return ErrNotHLL
	case val[4] == hllDense:
		return nil
	}
	n := 0
	for rest := val[hllHeaderBytes:]; len(rest) > 0; {
		size, run, _ := hllStep(rest)
		if size == 0 || n+run > hllRegisters {
			return ErrHLLCorrupt
		}
		rest, n = rest[size:], n+run
	}
	if n != hllRegisters {
		return ErrHLLCorrupt
	}
	return nil
}

// hllStep reads one run of the sparse form. A size of 0 means that it is cut off.
func hllStep(b []byte) (size, run int, value uint8) {
	switch b[0] >> 6 {
	case 0:
		return 1, int(b[0]&0x3f) + 1, 0
	case 1:
		if len(b) < 2 {
			return 0, 0, 0
		}
		return 2, int(b[0]&0x3f)<<8 + int(b[1]) + 1, 0
	}
	return 1, int(b[0]&3) + 1, b[0]>>2&0x1f + 1
}

// join raises the registers to those of val, which checkHLL has let pass. It reports whether one rose.
func (g *registers) join(val []byte) (rose bool) {
	if val[4] == hllDense {
		return g.joinDense(val[hllHeaderBytes:])
	}
	i := 0
	for rest := val[hllHeaderBytes:]; len(rest) > 0; {
		size, run, value := hllStep(rest)
		for end := i + run; i < end; i++ {
			rose = g.raise(i, value) || rose
		}
		rest = rest[size:]
	}
	return rose
}

// joinDense reads four registers from three bytes at a time.
func (g *registers) joinDense(b []byte) (rose bool) {
	for i := 0; i < hllRegisters; i, b = i+4, b[3:] {
		four := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		for j := range 4 {
			rose = g.raise(i+j, uint8(four>>(6*j)&0x3f)) || rose
		}
	}
	return rose
}

func (g *registers) raise(i int, value uint8) bool {
	if g[i] >= value {
		return false
	}
	g[i] = value
	return true
}

// add counts one element, and reports whether a register rose.
func (g *registers) add(element []byte) bool {
	h := murmur64A(element, hllSeed)
	rank := bits.TrailingZeros64(h>>hllIndexBits|1<<hllRankBits) + 1
	return g.raise(int(h&(hllRegisters-1)), uint8(rank))
}

// encode is the value of the registers, without a cached count: sparse where that is small enough, unless dense is
// asked for. Equal registers give equal bytes.
func (g *registers) encode(dense bool) []byte {
	if !dense {
		if val, ok := g.encodeSparse(); ok {
			return val
		}
	}
	val := hllHeader(make([]byte, 0, hllDenseBytes), hllDense)
	for i := 0; i < hllRegisters; i += 4 {
		four := uint32(g[i]) | uint32(g[i+1])<<6 | uint32(g[i+2])<<12 | uint32(g[i+3])<<18
		val = append(val, byte(four), byte(four>>8), byte(four>>16))
	}
	return val
}

func hllHeader(b []byte, form byte) []byte {
	b = append(append(b, hllMagic...), form, 0, 0, 0)
	return append(b, 0, 0, 0, 0, 0, 0, 0, hllNoCount)
}

// encodeSparse gives up where the form cannot hold a value, or would be larger than hllSparseMax.
func (g *registers) encodeSparse() (val []byte, ok bool) {
	val = hllHeader(make([]byte, 0, 128), hllSparse)
	for i := 0; i < hllRegisters; {
		value, end := g[i], i+1
		for end < hllRegisters && g[end] == value {
			end++
		}
		if val = appendRun(val, value, end-i); value > hllValueMax || len(val) > hllSparseMax {
			return nil, false
		}
		i = end
	}
	return val, true
}

// appendRun appends n equal registers.
func appendRun(b []byte, value uint8, n int) []byte {
	switch {
	case value == 0 && n <= hllRunMax:
		return append(b, byte(n-1))
	case value == 0:
		return append(b, 0x40|byte((n-1)>>8), byte(n-1))
	}
	for ; n > 0; n -= hllValueRun {
		b = append(b, 0x80|(value-1)<<2|byte(min(n, hllValueRun)-1))
	}
	return b
}

// shown is what the registers of a cell show, of which w is the latest.
func (r *Region) shown(c *cell, w *sibling) ([]byte, error) {
	val, err := r.value(c, w)
	if err != nil || len(c.sibs) == 1 || c.kind != CellValue || checkHLL(val) != nil {
		return val, err
	}
	return r.joined(c, w, val)
}

// joined is shown where the latest register is a HyperLogLog.
func (r *Region) joined(c *cell, w *sibling, val []byte) ([]byte, error) {
	var g registers
	dense, rose := val[4] == hllDense, false
	g.join(val)
	for i := range c.sibs {
		s := &c.sibs[i]
		if s.tag != TagReg || s == w {
			continue
		}
		other, err := r.value(c, s)
		if err != nil {
			return nil, err
		}
		if checkHLL(other) == nil {
			rose = g.join(other) || rose
			dense = dense || other[4] == hllDense
		}
	}
	if !rose {
		return val, nil
	}
	return g.encode(dense), nil
}

// hll reads a HyperLogLog. Errors: ErrWrongType, ErrNotHLL, ErrHLLCorrupt, ErrUnreadable, ErrAway of a lazy View.
func (v *View) hll(key string) (val []byte, ok bool, err error) {
	if val, ok, err = v.Get(key); err != nil || !ok {
		return nil, false, err
	}
	return val, true, checkHLL(val)
}

// HLLAdd adds elements to the HyperLogLog at key, which there may not have been. It reports whether that changed
// anything. Errors: ErrWrongType, ErrNotHLL, ErrHLLCorrupt, ErrTooLarge, ErrUnreadable.
func (t *Tx) HLLAdd(key string, elements ...[]byte) (changed bool, err error) {
	if err := fits(key, "", nil); err != nil {
		return false, err
	}
	val, there, err := t.hll(key)
	if err != nil {
		return false, err
	}
	var g registers
	if there {
		g.join(val)
	}
	changed = !there
	for _, element := range elements {
		changed = g.add(element) || changed
	}
	if changed {
		t.Set(key, g.encode(there && val[4] == hllDense), true)
	}
	return changed, nil
}

// HLLMerge makes dest count what it and the sources do. Keys that are absent count as empty. Errors as of HLLAdd.
func (t *Tx) HLLMerge(dest string, sources ...string) error {
	if err := fits(dest, "", nil); err != nil {
		return err
	}
	g, dense, err := t.union(append([]string{dest}, sources...))
	if err != nil {
		return err
	}
	t.Set(dest, g.encode(dense), true)
	return nil
}

// union joins HyperLogLogs; dense says that one of them is.
func (v *View) union(keys []string) (g *registers, dense bool, err error) {
	g = new(registers)
	for _, key := range keys {
		val, ok, err := v.hll(key)
		if err != nil {
			return nil, false, err
		}
		if ok {
			g.join(val)
			dense = dense || val[4] == hllDense
		}
	}
	return g, dense, nil
}
