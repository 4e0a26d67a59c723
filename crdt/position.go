package crdt

import (
	"bytes"
	"encoding/binary"
)

// A position is where an element stands in a list: a string of bytes, whose order is the list's, and between any two of which there
// is room. It is the path to the element in a tree as Fugue's (Weidner and Kleppmann, "The Art of the Fugue: Minimizing
// Interleaving in Collaborative Text Editing", 2023), with runs in the place of chains of nodes:
//
//	position   level … level                   the last level is the element's own
//	level      slot  writer  number  side      of an element on the path
//	slot       orders what was put between the same neighbours, one after the other
//	writer     8 bytes, the hash of the start that wrote
//	number     of its write; negative where it went before what the writer had put there
//	side       0: left of the element, 1: the element itself, 2: right of it
//
// Elements of one slot and writer are a run: it goes on at its end with the number of the next write, and at its beginning with that
// number, negative. Both are new for ever, so a position is never used twice, and removes need leave nothing behind but the
// ordinary ghosts. What several writers put in one place at once are runs of their own, each of which stays together, forwards
// and backwards: only who has seen an element puts others beside it.
//
//	cost: 13 bytes for a million pushes to either end, and one level more for each time that others put something between two elements
//	      of a run. Pushes by turns of several writers go side by side, and not into each other.
type level struct {
	slot int64
	id   uint64
	num  int64
	side byte
}

// Sides of a level.
const (
	sideLeft  = 0
	sideSelf  = 1
	sideRight = 2
)

// slotMax bounds slots, so that there is always one beyond; what a peer puts at the end goes a level deeper.
const slotMax = 1 << 48

// Numbers are written so that their bytes are ordered as they are: small ones in a byte, others behind their length.
const (
	intZero  = 0x80
	intSmall = 0x3c // up to here in one byte
)

func appendOrdered(b []byte, x int64) []byte {
	if -intSmall <= x && x <= intSmall {
		return append(b, byte(intZero+x))
	}
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], uint64(x))
	n := 8
	if x > 0 {
		for be[8-n] == 0 {
			n--
		}
		return append(append(b, byte(intZero+intSmall+n)), be[8-n:]...)
	}
	for n > 1 && be[8-n] == 0xff {
		n--
	}
	return append(append(b, byte(intZero-intSmall-n)), be[8-n:]...)
}

// takeOrdered reads what appendOrdered writes, and nothing else.
func takeOrdered(b []byte) (x int64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	h := int(b[0]) - intZero
	b = b[1:]
	n, fill := h-intSmall, byte(0)
	switch {
	case -intSmall <= h && h <= intSmall:
		return int64(h), b, true
	case h < 0:
		n, fill = -h-intSmall, 0xff
	}
	if n > 8 || n > len(b) {
		return 0, nil, false
	}
	be := [8]byte{fill, fill, fill, fill, fill, fill, fill, fill}
	copy(be[8-n:], b[:n])
	x = int64(binary.BigEndian.Uint64(be[:]))
	var again [9]byte
	ok = bytes.Equal(appendOrdered(again[:0], x)[1:], b[:n]) && (x < 0) == (h < 0)
	return x, b[n:], ok
}

func appendLevel(b []byte, l level) []byte {
	b = binary.BigEndian.AppendUint64(appendOrdered(b, l.slot), l.id)
	return append(appendOrdered(b, l.num), l.side)
}

// levelsOf takes a position apart; ok is false where it is none.
func levelsOf(b []byte) (ls []level, ok bool) {
	for len(b) > 0 {
		var l level
		if l.slot, b, ok = takeOrdered(b); !ok || len(b) < 8 || l.slot > slotMax || l.slot < -slotMax {
			return nil, false
		}
		l.id, b = binary.BigEndian.Uint64(b), b[8:]
		if l.num, b, ok = takeOrdered(b); !ok || len(b) == 0 {
			return nil, false
		}
		l.side, b = b[0], b[1:]
		if (l.side == sideSelf) != (len(b) == 0) || l.side > sideRight {
			return nil, false
		}
		ls = append(ls, l)
	}
	return ls, len(ls) > 0
}

// between makes a position behind left and before right, nil where there is none, for write number num of a writer.
func between(left, right []byte, id uint64, num Seq) []byte {
	l, _ := levelsOf(left)
	r, _ := levelsOf(right)
	fits := func(p []byte) bool {
		return p != nil && bytes.Compare(left, p) < 0 && (right == nil || bytes.Compare(p, right) < 0)
	}
	for i := len(l) - 1; i >= 0; i-- { // a run of ours goes on
		if l[i].id == id {
			if p := pathTo(l[:i], level{l[i].slot, id, int64(num), sideSelf}); fits(p) {
				return p
			}
		}
	}
	for i := len(r) - 1; i >= 0; i-- { // or begins earlier
		if r[i].id == id {
			if p := pathTo(r[:i], level{r[i].slot, id, -int64(num), sideSelf}); fits(p) {
				return p
			}
		}
	}
	own := level{0, id, int64(num), sideSelf}
	if p := besides(l, r, own); fits(p) {
		return p
	}
	return under(l, r, own)
}

// besides tries a slot of its own, as high in the tree as there is one between the neighbours.
func besides(l, r []level, own level) []byte {
	d := 0 // where the paths part
	for d < len(l) && d < len(r) && l[d] == r[d] {
		d++
	}
	switch {
	case len(l) == 0 && len(r) == 0:
		return pathTo(nil, own)
	case len(r) == 0:
		return behind(l, 0, own)
	case len(l) == 0:
		return afore(r, 0, own)
	case r[d].slot-l[d].slot > 1:
		return behind(l, d, own)
	case len(l) > d+1:
		if len(r) == d+1 && follows(l[d], r[d]) {
			return nil
		}
		return behind(l, d+1, own)
	case len(r) > d+1:
		if precedes(l[d], r[d]) {
			return nil
		}
		return afore(r, d+1, own)
	}
	return nil
}

// follows reports whether r went on with the run of l: it is, in Fugue's tree, below what stands before it.
func follows(l, r level) bool { return sameRun(l, r) && r.num > max(l.num, -l.num) }

// precedes reports whether l was put before what its run had: it has nothing on its right, in Fugue's tree.
func precedes(l, r level) bool { return sameRun(l, r) && -l.num > max(r.num, -r.num) }

// behind takes the slot behind the one of a path at depth i, or deeper where there is none.
func behind(l []level, i int, own level) []byte {
	for ; i < len(l); i++ {
		if own.slot = l[i].slot + 1; own.slot <= slotMax {
			return pathTo(l[:i], own)
		}
	}
	return nil
}

// afore is behind in the other direction.
func afore(r []level, i int, own level) []byte {
	for ; i < len(r); i++ {
		if own.slot = r[i].slot - 1; own.slot >= -slotMax {
			return pathTo(r[:i], own)
		}
	}
	return nil
}

// under goes a level deeper, as Fugue does: left of the right neighbour where that is a descendant of the left one, and
// otherwise right of the left one.
func under(l, r []level, own level) []byte {
	if len(l) == 0 || len(r) > 0 && descends(l, r) {
		return pathTo(turn(r, sideLeft), own)
	}
	return pathTo(turn(l, sideRight), own)
}

// descends reports whether r is, in Fugue's tree, a descendant of l on its right: below it in the path, or what went on with its
// run, or with that of what l is right of.
func descends(l, r []level) bool {
	d := 0
	for d < len(l) && d < len(r) && l[d] == r[d] {
		d++
	}
	if d == len(l) || d == len(r) || !sameRun(l[d], r[d]) {
		return false
	}
	if l[d].num == r[d].num {
		return l[d].side == sideSelf
	}
	return len(r) == d+1 && follows(l[d], r[d])
}

func sameRun(a, b level) bool { return a.slot == b.slot && a.id == b.id }

// pathTo writes a path.
func pathTo(path []level, last level) []byte {
	b := make([]byte, 0, (len(path)+1)*14)
	for _, l := range path {
		b = appendLevel(b, l)
	}
	return appendLevel(b, last)
}

// turn is the path to what is beside an element.
func turn(ls []level, side byte) []level {
	out := append([]level(nil), ls...)
	out[len(out)-1].side = side
	return out
}
