package crdt

import (
	"encoding/binary"
	"errors"
)

// A counter is the sum of its origins' contributions (a PN-counter: Shapiro et al., "A comprehensive
// study of CRDTs", 2011), each one dotted sibling that its owner alone replaces. A contribution is
// cumulative, so a removal that is concurrent with an increment needs care: it covers the sibling
// that it saw, not the later one that carries the same sum further. It therefore leaves, for each
// contribution of another origin, a reset: what it had seen, by sequence number. Readers subtract
// it, and the owner absorbs it into its base with its next write. `10, then DEL ‖ INCR` is 1.
//
//	contribution (T, baseSeq, baseT)  T increments so far, of which baseT up to baseSeq are removed
//	reset (origin, seq, baseSeq, T)   a removal saw origin's contribution of dot seq, which said T from baseSeq on
//	value of a contribution           T − T of the latest reset of its chain, else T − baseT; 0 if that reset saw it
//
// A contribution that starts afresh, because a removal took the earlier one, has a base just below its own dot: it
// begins another chain. A reset counts only within its chain: one of an earlier chain, arriving late, takes nothing
// from a later contribution, and one of a later chain says nothing about an earlier contribution.
type contribution struct {
	total   num
	baseSeq Seq
	base    num
}

type reset struct {
	origin  Origin
	seq     Seq
	baseSeq Seq
	total   num
}

func appendNum(b []byte, n num) []byte {
	if n.isInt64() {
		return binary.AppendVarint(append(b, 0), n.small)
	}
	if n.two {
		return appendTwo(append(b, 2), n)
	}
	s := n.String()
	return append(binary.AppendUvarint(append(b, 1), uint64(len(s))), s...)
}

func (d *decoder) num() num {
	switch d.byte() {
	case 0:
		return num{small: d.varint()}
	case 1:
		n, err := parseNum(string(d.bytes(maxDigits + 8)))
		if err != nil {
			d.fail("a counter holds %v", err)
		}
		return n
	case 2:
		return d.two()
	}
	d.fail("a counter has an unknown form of number")
	return num{}
}

func (c contribution) encode() []byte {
	b := appendNum(make([]byte, 0, 16), c.total)
	b = binary.AppendUvarint(b, uint64(c.baseSeq))
	return appendNum(b, c.base)
}

func decodeContribution(b []byte) contribution {
	d := decoder{b: b}
	c := contribution{total: d.num(), baseSeq: Seq(d.uvarint()), base: d.num()}
	if d.err != nil {
		return contribution{}
	}
	return c
}

func (x reset) encode() []byte {
	b := append(make([]byte, 0, 32), x.origin[:]...)
	b = binary.AppendUvarint(b, uint64(x.seq))
	b = binary.AppendUvarint(b, uint64(x.baseSeq))
	return appendNum(b, x.total)
}

func decodeReset(b []byte) reset {
	d := decoder{b: b}
	var x reset
	copy(x.origin[:], d.take(len(x.origin)))
	x.seq, x.baseSeq, x.total = Seq(d.uvarint()), Seq(d.uvarint()), d.num()
	if d.err != nil {
		return reset{}
	}
	return x
}

// resetsUs reports whether the sibling is a reset of this incarnation's contribution.
func (r *Region) resetsUs(s *sibling) bool {
	return len(s.val) >= len(Origin{}) && Origin(s.val[:16]) == r.origin
}

// latestReset is the reset with the highest number of the chain of origin o's contribution k of dot seq.
func latestReset(c *cell, o Origin, k contribution, seq Seq) (best reset, found bool) {
	for i := range c.sibs {
		if s := &c.sibs[i]; s.tag == TagReset {
			if x := decodeReset(s.val); x.origin == o && x.of(k, seq) && (!found || x.seq > best.seq) {
				best, found = x, true
			}
		}
	}
	return best, found
}

// of reports whether x saw the chain of the contribution k of dot seq.
func (x reset) of(k contribution, seq Seq) bool { return x.seq > k.baseSeq && seq > x.baseSeq }

// replaces reports whether x makes an older reset of the same chain needless.
func (x reset) replaces(y reset) bool {
	return y.origin == x.origin && y.seq > x.baseSeq && y.seq <= x.seq
}

// share is what one contribution adds to the cell's sum.
func (r *Region) share(c *cell, s *sibling) num {
	k := decodeContribution(s.val)
	if x, ok := latestReset(c, r.origins[s.org].id, k, s.seq); ok {
		if x.seq >= s.seq {
			return num{}
		}
		return k.total.sub(x.total)
	}
	return k.total.sub(k.base)
}

// sum adds the contributions; counted is false where there is none.
func (r *Region) sum(c *cell) (total num, counted bool) {
	for i := range c.sibs {
		if s := &c.sibs[i]; s.tag == TagCount {
			total, counted = total.add(r.share(c, s)), true
		}
	}
	return total, counted
}

// scalar is the view of a value or field cell: the last writer's register, plus the contributions
// where the register is a number or there is none. A register that is not a number hides them.
func (r *Region) scalar(c *cell) ([]byte, error) {
	w := r.winner(c)
	total, counted := r.sum(c)
	if !counted {
		if w == nil {
			return nil, nil
		}
		return r.shown(c, w)
	}
	if w != nil {
		val, err := r.shown(c, w)
		if err != nil {
			return nil, err
		}
		base, err := parseNum(string(val))
		if err != nil {
			return val, nil
		}
		total = total.add(base)
	}
	return []byte(total.String()), nil
}

// scalarOf is scalar of a cell that is there. A register alone is read where it is.
func (r *Region) scalarOf(e entry, kind CellKind, sub string) ([]byte, error) {
	ref := e.record(kind, sub)
	p := unpack(r.store.mem.Bytes(ref))
	if p.flags&bodyMask == bodySibling && p.tag == TagReg {
		return value(p.body, p.flags&recordWide != 0), nil
	}
	return r.scalar(e.cell(kind, sub))
}

// integer is the view of a cell that INCR takes: a 64-bit integer. A register must be written as one, unless
// contributions have made it a sum since.
func (r *Region) integer(c *cell) (num, error) {
	n, err := r.number(c)
	if errors.Is(err, ErrUnreadable) {
		return num{}, err
	}
	if err != nil || !n.isInt64() {
		return num{}, ErrNotInteger
	}
	if c != nil {
		if w := r.winner(c); w != nil {
			_, plain := parseInt(w.val) // which number has read
			if _, counted := r.sum(c); !plain && !counted {
				return num{}, ErrNotInteger
			}
		}
	}
	return n, nil
}

// number is the numeric view; an absent or empty cell is 0.
func (r *Region) number(c *cell) (num, error) {
	if c == nil {
		return num{}, nil
	}
	total, counted := r.sum(c)
	w := r.winner(c)
	if w == nil {
		return total, nil
	}
	val, err := r.value(c, w)
	if err != nil {
		return num{}, err
	}
	if i, ok := parseInt(val); ok {
		return total.add(num{small: i}), nil
	}
	base, err := parseNum(string(val))
	if err != nil {
		return num{}, err
	}
	if !counted {
		return base, nil
	}
	return total.add(base), nil
}
