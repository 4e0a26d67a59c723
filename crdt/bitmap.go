package crdt

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// A seqSet tells which writes of one origin live, when too many differ for a sketch. It is the shortest of three forms: the
// numbers in Elias and Fano's code (Elias, "Efficient Storage and Retrieval by Content and Address of Static Files",
// JACM 1974), the holes between them in the same code, or the runs.
//
//	bytes:  n of u numbers: the least of 2 + log2(u/n) bits a number, as much a hole, and 2 bytes or more a run
//	time:   about 7 ns a number to make, 20 ns to check and read, less where most are there
//
// A reader goes once through the numbers, in order, and keeps nothing but the message.

// Forms of a seqSet.
const (
	seqsNone  = iota // none
	seqsList         // a list of what is in it
	seqsHoles        // first and last, and a list of what is not in it between them
	seqsRuns         // runs, one after the other
)

// appendSeqSet encodes numbers in order. It takes the slice over: a number that is there twice, as a cloned origin may have
// one dot in two cells, goes out once.
func appendSeqSet(b []byte, seqs []Seq) []byte {
	seqs = slices.Compact(seqs)
	if len(seqs) == 0 {
		return append(b, seqsNone)
	}
	list := seqListSize(seqs)
	if 2*seqRuns(seqs) < list {
		if runs := appendSeqRuns([]byte{seqsRuns}, seqs); len(runs) < list && len(runs) < seqHolesSize(seqs) {
			return append(b, runs...)
		}
	}
	if seqHolesSize(seqs) < list {
		return appendSeqHoles(append(b, seqsHoles), seqs)
	}
	return appendSeqList(append(b, seqsList), seqs)
}

// seqHoles counts the numbers between the first and the last that are not there.
func seqHoles(seqs []Seq) uint64 {
	return uint64(seqs[len(seqs)-1]-seqs[0]) + 1 - uint64(len(seqs))
}

// seqRuns counts the runs.
func seqRuns(seqs []Seq) int {
	n := 1
	for i := 1; i < len(seqs); i++ {
		if seqs[i] != seqs[i-1]+1 {
			n++
		}
	}
	return n
}

func appendSeqHoles(b []byte, seqs []Seq) []byte {
	b = binary.AppendUvarint(b, uint64(seqs[0]))
	b = binary.AppendUvarint(b, uint64(seqs[len(seqs)-1]-seqs[0]))
	return appendSeqList(b, holesOf(seqs, int(seqHoles(seqs))))
}

// holesOf lists the n numbers between the first and the last that are not there.
func holesOf(seqs []Seq, n int) []Seq {
	out := make([]Seq, 0, n)
	for i := 1; i < len(seqs); i++ {
		for s := seqs[i-1] + 1; s < seqs[i]; s++ {
			out = append(out, s)
		}
	}
	return out
}

func appendSeqRuns(b []byte, seqs []Seq) []byte {
	b = binary.AppendUvarint(b, uint64(seqRuns(seqs)))
	at := Seq(0)
	for i := 0; i < len(seqs); {
		lo := seqs[i]
		i++
		for i < len(seqs) && seqs[i] == seqs[i-1]+1 {
			i++
		}
		b = binary.AppendUvarint(b, uint64(lo-at))
		b = binary.AppendUvarint(b, uint64(seqs[i-1]-lo))
		at = seqs[i-1]
	}
	return b
}

// In a list of n numbers, number i is first + i + y where y does not fall, from 0 to rest. The low bits of all y come first,
// width bits each, then a bit string with a one for each y, behind as many zeros as the high bits have grown.
func seqListOf(seqs []Seq) (first Seq, rest uint64, width int) {
	n := uint64(len(seqs))
	first = seqs[0]
	rest = uint64(seqs[n-1]-first) - (n - 1)
	return first, rest, lowWidth(n, rest)
}

// lowWidth is how many low bits make a list shortest: one more saves rest >> (width+1) bits and costs n.
func lowWidth(n, rest uint64) int { return max(0, bits.Len64(rest/n)-1) }

// seqListBytes are the lengths of both parts.
func seqListBytes(n, rest uint64, width int) (low, high uint64) {
	return (n*uint64(width) + 7) / 8, (n + rest>>width + 7) / 8
}

// seqListSize is about what a list takes.
func seqListSize(seqs []Seq) int {
	_, rest, _ := seqListOf(seqs)
	return listSize(uint64(len(seqs)), rest)
}

// seqHolesSize is about what a list of the holes takes, at most.
func seqHolesSize(seqs []Seq) int {
	n := seqHoles(seqs)
	if n == 0 || n >= uint64(len(seqs)) {
		return math.MaxInt
	}
	return listSize(n, uint64(len(seqs))) + 4
}

func listSize(n, rest uint64) int {
	low, high := seqListBytes(n, rest, lowWidth(n, rest))
	return int(low+high) + 6
}

func appendSeqList(b []byte, seqs []Seq) []byte {
	first, rest, width := seqListOf(seqs)
	n := uint64(len(seqs))
	b = binary.AppendUvarint(b, n)
	b = binary.AppendUvarint(b, uint64(first))
	b = binary.AppendUvarint(b, rest)
	lowBytes, highBytes := seqListBytes(n, rest, width)
	at := len(b)
	b = append(b, make([]byte, lowBytes+highBytes)...)
	low, high := b[at:at+int(lowBytes)], b[at+int(lowBytes):]
	for i, s := range seqs {
		y := uint64(s-first) - uint64(i)
		putBits(low, i*width, width, y)
		one := y>>width + uint64(i)
		high[one/8] |= 1 << (one % 8)
	}
	return b
}

// putBits sets width bits from bit at on, of a string of zeros whose first bit is the lowest of the first byte.
func putBits(b []byte, at, width int, x uint64) {
	x &= 1<<width - 1
	for x != 0 {
		b[at/8] |= byte(x << (at % 8))
		x >>= 8 - at%8
		at += 8 - at%8
	}
}

// getBits reads what putBits wrote.
func getBits(b []byte, at, width int) uint64 {
	if i, off := at/8, at%8; i+8 <= len(b) && off+width <= 64 {
		return binary.LittleEndian.Uint64(b[i:]) >> off & (1<<width - 1)
	}
	x := uint64(0)
	for got := 0; got < width; {
		x |= uint64(b[at/8]>>(at%8)) << got
		got += 8 - at%8
		at += 8 - at%8
	}
	return x & (1<<width - 1)
}

// seqList reads a list.
type seqList struct {
	low, high []byte
	width     int
	first     Seq
	rest      uint64
	n, i      uint64
	at        uint64 // bit in high
}

// next gives the numbers in order.
func (l *seqList) next() (Seq, bool) {
	if l.i == l.n {
		return 0, false
	}
	for l.at/8 < uint64(len(l.high)) {
		x := l.high[l.at/8] >> (l.at % 8)
		if x == 0 {
			l.at = (l.at/8 + 1) * 8
			continue
		}
		one := l.at + uint64(bits.TrailingZeros8(x))
		y := (one-l.i)<<l.width | getBits(l.low, int(l.i)*l.width, l.width)
		s := l.first + Seq(l.i) + Seq(y)
		l.at, l.i = one+1, l.i+1
		return s, true
	}
	return 0, false
}

func (d *decoder) seqList() seqList {
	l := seqList{n: d.uvarint(), first: d.seq(), rest: d.uvarint()}
	if l.n == 0 || l.n > 8*uint64(len(d.b)) || l.rest > maxSeq {
		d.fail("a list of %d numbers, %d apart, in %d bytes", l.n, l.rest, len(d.b))
		return seqList{}
	}
	l.width = lowWidth(l.n, l.rest)
	low, high := seqListBytes(l.n, l.rest, l.width)
	if low+high > uint64(len(d.b)) {
		d.fail("a list of %d bytes in %d", low+high, len(d.b))
		return seqList{}
	}
	l.low, l.high = d.take(int(low)), d.take(int(high))
	d.checkSeqList(l)
	return l
}

// checkSeqList makes sure that the numbers grow to the last that was announced, and that nothing follows.
func (d *decoder) checkSeqList(l seqList) {
	last, want := Seq(0), l.first+Seq(l.n-1)+Seq(l.rest)
	for range l.n {
		s, ok := l.next()
		if !ok || s <= last {
			d.fail("a list of %d numbers with %d behind %d", l.n, s, last)
			return
		}
		last = s
	}
	if last != want || last > maxSeq || l.at/8 < uint64(len(l.high)) && l.high[l.at/8]>>(l.at%8) != 0 {
		d.fail("a list of %d numbers that ends at %d, not %d", l.n, last, want)
	}
}

// seqSet reads a set, once, in order. The zero value is empty.
type seqSet struct {
	form   byte
	list   seqList
	runs   decoder
	lo, hi Seq  // in form seqsHoles: what is left
	span   Span // what has looks at
	over   bool
}

func (d *decoder) seqSet() seqSet {
	s := seqSet{form: d.byte()}
	switch s.form {
	case seqsNone:
	case seqsList:
		s.list = d.seqList()
	case seqsHoles:
		s.lo = d.seq()
		s.hi = s.lo + d.seq()
		s.list = d.seqList()
		if last := s.list.first + Seq(s.list.n+s.list.rest) - 1; d.err == nil && (s.list.first <= s.lo || last >= s.hi || s.hi > maxSeq) {
			d.fail("holes from %d to %d in %d to %d", s.list.first, last, s.lo, s.hi)
		}
	case seqsRuns:
		s.runs = d.seqRuns()
	default:
		d.fail("a set of form %d", s.form)
	}
	if d.err != nil {
		return seqSet{}
	}
	return s
}

// seqRuns checks runs, and gives a decoder that reads them again.
func (d *decoder) seqRuns() decoder {
	n := d.count(2)
	from, at := d.b, uint64(0)
	for i := range n {
		gap, length := d.uvarint(), d.uvarint()
		if gap == 0 || gap == 1 && i > 0 || gap > maxSeq || length > maxSeq || at+gap+length > maxSeq {
			d.fail("a run %d long, %d above %d", length, gap, at)
			return decoder{}
		}
		at += gap + length
	}
	return decoder{b: from[:len(from)-len(d.b)]}
}

// next gives the runs of the set in order. They may touch.
func (s *seqSet) next() (Span, bool) {
	switch s.form {
	case seqsList:
		x, ok := s.list.next()
		return Span{x, x}, ok
	case seqsHoles:
		return s.nextBetween()
	case seqsRuns:
		if len(s.runs.b) == 0 {
			return Span{}, false
		}
		s.lo = s.hi + Seq(s.runs.uvarint())
		s.hi = s.lo + Seq(s.runs.uvarint())
		return Span{s.lo, s.hi}, true
	}
	return Span{}, false
}

// nextBetween gives the run before the next hole. There is none between holes that touch.
func (s *seqSet) nextBetween() (Span, bool) {
	for s.lo <= s.hi {
		hole, ok := s.list.next()
		if !ok {
			hole = s.hi + 1
		}
		x := Span{s.lo, hole - 1}
		if s.lo = hole + 1; x.Lo <= x.Hi {
			return x, true
		}
	}
	return Span{}, false
}

// has reports whether x is in the set. Ask for numbers that do not fall.
func (s *seqSet) has(x Seq) bool {
	for x > s.span.Hi && !s.over {
		span, ok := s.next()
		s.span, s.over = span, !ok
	}
	return !s.over && s.span.Lo <= x
}
