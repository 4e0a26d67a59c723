package crdt

import (
	"encoding/binary"
	"slices"
)

// dotIndex maps one origin's dots that are live, or ghosts, to their records. It answers "what has a reader of
// this context not seen" in time proportional to the answer, and holds nothing of dots that were covered: the
// index costs memory by live dot, never by history. It is a list of leaves in the order of the numbers, each
// of which is an allocation of Memory:
//
//	leaf   number − base of the leaf, 12 bits, and the record, 36 bits: 6 bytes a dot, sorted
//
// A dot that goes leaves its place without a record, until a quarter of the leaf are such: to close up at once would
// move half a leaf.
//
// While a region is loaded its dots come in the order of their keys, which is none. They wait, and are filed some hundred thousand at a time in the order of
// their numbers: each where it belongs at once was a tenth of what a start computes.
type dotIndex struct {
	leaves []leaf
	n      int
	late   *lateDots // nil: none wait
}

type leaf struct {
	base Seq
	ref  uint64
	n    int16 // places, in the order of their numbers
	dead int16 // of which these hold no record any more
}

const (
	dotBytes = 6
	leafMax  = 256         // dots in a leaf
	leafSpan = 1 << 12     // numbers that a leaf can tell
	leafStep = 8           // a leaf grows by this many dots: what is allocated and not used is little
	leafLow  = leafMax / 4 // neighbours that have no more than this join
)

// dotAt reads a place by one load, which is why a leaf has two bytes more (leafBytes).
func dotAt(b []byte, i int) uint64 {
	return binary.LittleEndian.Uint64(b[i*dotBytes:]) & (1<<(8*dotBytes) - 1)
}

// leafBytes is what a leaf for n dots takes.
func leafBytes(n int) int { return n*dotBytes + 2 }

func putDot(b []byte, i int, x uint64) {
	b = b[i*dotBytes:]
	_ = b[dotBytes-1]
	binary.LittleEndian.PutUint32(b, uint32(x))
	binary.LittleEndian.PutUint16(b[4:], uint16(x>>32))
}

// leafOf is the last leaf that begins at seq or before; -1 if none does.
func (x *dotIndex) leafOf(seq Seq) int {
	if n := len(x.leaves); n == 0 || x.leaves[n-1].base <= seq {
		return n - 1
	}
	// Leaves are spread evenly, more or less: the search begins where it would end if they were, in steps that double.
	first, last := x.leaves[0].base, len(x.leaves)-1
	if seq < first {
		return -1
	}
	lo, hi := 0, last // leaves[lo].base <= seq < leaves[hi].base
	at := int(float64(seq-first) / float64(x.leaves[last].base-first) * float64(last))
	for step := 1; at > lo && at < hi; step *= 2 {
		if x.leaves[at].base <= seq {
			lo, at = at, at+step
			if at < hi && x.leaves[at].base > seq {
				hi = at
			}
		} else {
			hi, at = at, at-step
			if at > lo && x.leaves[at].base <= seq {
				lo = at
			}
		}
	}
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) >> 1); x.leaves[mid].base <= seq {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// lower is the first place in a leaf with at least the number, base + off.
func lower(b []byte, n int, off uint64) int {
	if g := int(off); g < n { // most leaves have no holes
		if at := dotAt(b, g) >> refBits; at == off && (g == 0 || dotAt(b, g-1)>>refBits < off) {
			return g
		}
	}
	if n == 0 {
		return n
	}
	last := dotAt(b, n-1) >> refBits
	if last < off {
		return n
	}
	lo, hi := 0, n-1
	if last > 0 { // as in leafOf
		for at, step := int(off*uint64(n-1)/last), 1; ; step *= 2 {
			if dotAt(b, at)>>refBits < off {
				lo = at + 1
				at += step
			} else {
				hi = at
				at -= step
			}
			if at <= lo || at >= hi {
				break
			}
		}
	}
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); dotAt(b, mid)>>refBits < off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// add files a dot under a record.
func (x *dotIndex) add(s *store, seq Seq, ref uint64) {
	x.settle(s)
	x.n++
	k := x.leafOf(seq)
	if k < 0 || seq-x.leaves[k].base >= leafSpan || x.leaves[k].n == leafMax && k == len(x.leaves)-1 && x.beyond(s, k, seq) {
		if k++; k == len(x.leaves) || !x.leaves[k].lowerTo(s, seq) {
			x.leaves = slices.Insert(x.leaves, k, leaf{base: seq})
		}
	}
	if x.leaves[k].n == leafMax && !x.leaves[k].compact(s) {
		x.split(s, k)
		k = x.leafOf(seq)
	}
	l := &x.leaves[k]
	b := l.grow(s, k == len(x.leaves)-1)
	off := uint64(seq - l.base)
	i := lower(b, int(l.n), off)
	copy(b[(i+1)*dotBytes:], b[i*dotBytes:int(l.n)*dotBytes])
	putDot(b, i, off<<refBits|ref)
	l.n++
}

// beyond reports whether seq is beyond all of leaf k: mostly dots come in their order, and leaves stay full.
func (x *dotIndex) beyond(s *store, k int, seq Seq) bool {
	l := &x.leaves[k]
	return l.base+Seq(dotAt(s.mem.Bytes(l.ref), int(l.n)-1)>>refBits) < seq
}

// lowerTo makes a leaf begin at an earlier number, if it can tell the others from there.
func (l *leaf) lowerTo(s *store, seq Seq) bool {
	b, shift := s.mem.Bytes(l.ref), uint64(l.base-seq)
	if l.n == leafMax || shift+dotAt(b, int(l.n)-1)>>refBits >= leafSpan {
		return false
	}
	for i := range int(l.n) {
		putDot(b, i, dotAt(b, i)+shift<<refBits)
	}
	l.base = seq
	return true
}

// compact closes up the places without a record. It reports whether there were any.
func (l *leaf) compact(s *store) bool {
	if l.dead == 0 {
		return false
	}
	b, n := s.mem.Bytes(l.ref), 0
	for i := range int(l.n) {
		if d := dotAt(b, i); d&refMask != 0 {
			putDot(b, n, d)
			n++
		}
	}
	l.n, l.dead = int16(n), 0
	return true
}

// grow makes room for one more dot, and gives the leaf's bytes. The last leaf is the one that most dots come to.
func (l *leaf) grow(s *store, last bool) []byte {
	if l.ref != 0 {
		if b := s.mem.Bytes(l.ref); leafBytes(int(l.n)+1) <= len(b) {
			return b
		}
	}
	room := (int(l.n) + leafStep) / leafStep * leafStep
	switch {
	case l.n == 0:
		room = 1
	case last:
		room += int(l.n)
	}
	return l.resize(s, min(room, leafMax))
}

// resize moves a leaf to an allocation with room for so many dots.
func (l *leaf) resize(s *store, room int) []byte {
	ref, b := s.alloc(forCausal, leafBytes(room))
	if l.ref != 0 {
		copy(b, s.mem.Bytes(l.ref)[:int(l.n)*dotBytes])
		s.free(forCausal, l.ref)
	}
	l.ref = ref
	return b
}

// split moves the upper half of a full leaf to one of its own, and not between two of one number.
func (x *dotIndex) split(s *store, k int) {
	b := s.mem.Bytes(x.leaves[k].ref)
	n := int(x.leaves[k].n)
	at := n / 2
	off := dotAt(b, at) >> refBits
	if at = lower(b, n, off); at == 0 {
		for at < n-1 && dotAt(b, at)>>refBits == off {
			at++
		}
		off = dotAt(b, at) >> refBits
	}
	up := leaf{base: x.leaves[k].base + Seq(off), n: int16(n - at)}
	ref, to := s.alloc(forCausal, leafBytes(n-at+leafStep))
	up.ref = ref
	for i := at; i < n; i++ {
		putDot(to, i-at, dotAt(b, i)-off<<refBits)
	}
	x.leaves[k].n = int16(at)
	x.leaves[k].resize(s, at+leafStep)
	x.leaves = slices.Insert(x.leaves, k+1, up)
}

// find gives the place of a dot that is filed under a record. Several cells may hold one dot, where origins were cloned.
func (x *dotIndex) find(s *store, seq Seq, ref uint64) (k, i int) {
	x.settle(s)
	for k = x.leafOf(seq); k >= 0; k-- {
		l := &x.leaves[k]
		b, off := s.mem.Bytes(l.ref), uint64(seq-l.base)
		if off >= leafSpan {
			break
		}
		want := off<<refBits | ref
		for i = lower(b, int(l.n), off); i < int(l.n) && dotAt(b, i)>>refBits == off; i++ {
			if dotAt(b, i) == want {
				return k, i
			}
		}
		if off > 0 {
			break
		}
	}
	panic("crdt: a dot is not in its index")
}

// drop takes a dot out.
func (x *dotIndex) drop(s *store, seq Seq, ref uint64) {
	k, i := x.find(s, seq, ref)
	l := &x.leaves[k]
	b := s.mem.Bytes(l.ref)
	putDot(b, i, dotAt(b, i)&^refMask)
	x.n--
	if l.dead++; l.dead <= l.n/4 {
		return
	}
	if l.compact(s); l.n == 0 {
		s.free(forCausal, l.ref)
		x.leaves = slices.Delete(x.leaves, k, k+1)
		if cap(x.leaves) > 4*len(x.leaves)+16 {
			x.leaves = slices.Clone(x.leaves)
		}
		return
	}
	if l.n <= leafLow {
		k = x.join(s, k)
	}
	if l := &x.leaves[k]; len(b) > leafBytes(int(l.n)+2*leafStep) && k < len(x.leaves)-1 {
		l.resize(s, int(l.n)+leafStep)
	}
}

// join appends the leaf behind k to it, or k to the one before, where both have few dots. It gives the place of the leaf
// that then holds those of k.
func (x *dotIndex) join(s *store, k int) int {
	for _, j := range []int{k, k - 1} {
		if j < 0 || j+1 >= len(x.leaves) {
			continue
		}
		l, up := &x.leaves[j], &x.leaves[j+1]
		if l.n-l.dead > leafLow || up.n-up.dead > leafLow {
			continue
		}
		l.compact(s)
		up.compact(s)
		b, from := s.mem.Bytes(l.ref), s.mem.Bytes(up.ref)
		shift := uint64(up.base - l.base)
		if shift+dotAt(from, int(up.n)-1)>>refBits >= leafSpan {
			continue
		}
		if n := int(l.n + up.n); leafBytes(n) > len(b) {
			l.resize(s, n)
			b = s.mem.Bytes(l.ref)
		}
		for i := range int(up.n) {
			putDot(b, int(l.n)+i, dotAt(from, i)+shift<<refBits)
		}
		l.n += up.n
		s.free(forCausal, up.ref)
		x.leaves = slices.Delete(x.leaves, j+1, j+2)
		return j
	}
	return k
}

// move files a dot under another record: its cell has moved.
func (x *dotIndex) move(s *store, seq Seq, from, to uint64) {
	if x.late.move(lateDot{seq, from}, to) {
		return
	}
	k, i := x.find(s, seq, from)
	b := s.mem.Bytes(x.leaves[k].ref)
	putDot(b, i, dotAt(b, i)&^refMask|to)
}

// each calls fn on the dots from number from on, in order, until it returns false. fn must not change the index.
func (x *dotIndex) each(s *store, from Seq, fn func(seq Seq, ref uint64) bool) {
	x.settle(s)
	k := max(x.leafOf(from), 0)
	for k > 0 && x.leaves[k].base == from {
		k-- // one before may end with the same number
	}
	for ; k < len(x.leaves); k++ {
		l := &x.leaves[k]
		b, i := s.mem.Bytes(l.ref), 0
		if l.base < from {
			i = lower(b, int(l.n), min(uint64(from-l.base), leafSpan))
		}
		for ; i < int(l.n); i++ {
			if d := dotAt(b, i); d&refMask != 0 && !fn(l.base+Seq(d>>refBits), d&refMask) {
				return
			}
		}
	}
}

// missing calls fn on the record of every dot that r has not seen. fn must not change the index.
func (x *dotIndex) missing(s *store, r Runs, fn func(seq Seq, ref uint64)) {
	x.each(s, r.Base+1, func(seq Seq, ref uint64) bool {
		if !r.Has(seq) {
			fn(seq, ref)
		}
		return true
	})
}

// from counts the dots from a number on.
func (x *dotIndex) from(s *store, seq Seq) (n int) {
	x.settle(s)
	k := max(x.leafOf(seq), 0)
	for _, l := range x.leaves[min(k+1, len(x.leaves)):] {
		n += int(l.n - l.dead)
	}
	if k < len(x.leaves) {
		l := &x.leaves[k]
		b, i := s.mem.Bytes(l.ref), 0
		if l.base < seq {
			i = lower(b, int(l.n), min(uint64(seq-l.base), leafSpan))
		}
		for ; i < int(l.n); i++ {
			if dotAt(b, i)&refMask != 0 {
				n++
			}
		}
	}
	return n
}

// latest calls fn on the last dots, the last first, until it returns false.
func (x *dotIndex) latest(s *store, fn func(seq Seq, ref uint64) bool) {
	x.settle(s)
	for k := len(x.leaves) - 1; k >= 0; k-- {
		l := &x.leaves[k]
		b := s.mem.Bytes(l.ref)
		for i := int(l.n) - 1; i >= 0; i-- {
			if d := dotAt(b, i); d&refMask != 0 && !fn(l.base+Seq(d>>refBits), d&refMask) {
				return
			}
		}
	}
}

// last is the highest number, 0 if there is none.
func (x *dotIndex) last(s *store) (seq Seq) {
	x.latest(s, func(last Seq, _ uint64) bool { seq = last; return false })
	return seq
}

// free gives all leaves back.
func (x *dotIndex) free(s *store) {
	for i := range x.leaves {
		s.free(forCausal, x.leaves[i].ref)
	}
	*x = dotIndex{}
}
