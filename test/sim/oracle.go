package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
	mathbits "math/bits"

	"github.com/edgemem/edgemem/crdt"
)

// write is one dotted write and what its replica had incorporated when it made it.
type write struct {
	crdt.Written
	seen     bits
	delta    *big.Rat    // of an increment
	target   crdt.Origin // of a reset: whose contributions it saw,
	from, to crdt.Seq    // after which number, and up to which
	absorbs  bool        // a remove that only takes a reset of ours out
	coverers []int       // writes that cover this one
	killers  []int       // of an increment: writes after which it does not count
}

func (w *write) scoped() bool { return w.Kind == crdt.CellDrop || w.Kind == crdt.CellFlush }

func (w *write) sameCell(v *write) bool { return w.Kind == v.Kind && w.Key == v.Key && w.Sub == v.Sub }

// inScope: a flush reaches every cell, a drop those of its entry.
func (w *write) inScope(v *write) bool {
	return w.Kind == crdt.CellFlush || w.Kind == crdt.CellDrop && v.Key == w.Key && v.Kind != crdt.CellFlush
}

// covers tells whether w, which had seen v, takes its place.
func (w *write) covers(v *write) bool {
	switch {
	case w.sameCell(v) && v.Tag == crdt.TagRemove:
		return true
	case w.scoped():
		return w.inScope(v) && v.Tag != crdt.TagReset
	case !w.sameCell(v):
		return false
	case w.Tag == crdt.TagRow:
		a, b := rowOf(w.Value), rowOf(v.Value)
		return v.Tag == crdt.TagRow && a.owner == b.owner && a.gen == b.gen
	case v.Tag == crdt.TagReset && w.Tag == crdt.TagReset:
		return v.target == w.target && v.to > w.from && v.to <= w.to
	case v.Tag == crdt.TagReset:
		return v.target == w.Dot.Origin
	case v.Tag == crdt.TagCount && w.Tag == crdt.TagReset:
		return w.target == v.Dot.Origin && v.Dot.Seq == w.to
	case v.Tag == crdt.TagCount:
		return v.Dot.Origin == w.Dot.Origin && !w.absorbs
	}
	return w.Tag != crdt.TagCount && w.Tag != crdt.TagReset && !w.absorbs
}

// removes tells whether w takes out all that it has seen in v's cell, whoever wrote it.
func (w *write) removes(v *write) bool {
	if w.scoped() {
		return w.inScope(v)
	}
	return w.sameCell(v) && (w.Tag == crdt.TagReg || w.Tag == crdt.TagRemove && !w.absorbs)
}

// kills tells whether the increment v, which w had seen, does not count where w was incorporated.
func (w *write) kills(v *write) bool {
	if w.Tag == crdt.TagReset {
		return w.sameCell(v) && w.target == v.Dot.Origin && v.Dot.Seq > w.from && v.Dot.Seq <= w.to
	}
	return w.removes(v) && (w.scoped() || v.Dot.Origin == w.Dot.Origin)
}

// oracle knows every write.
type oracle struct {
	writes  []*write
	byDot   map[crdt.Dot]int
	ledgers map[crdt.Dot]*ledger
	heirs   bool // of MutantHeirs: rights may come from nowhere, as long as the limit holds
	void    bits // writes that were nowhere any more when their starts were collapsed
}

func newOracle() *oracle { return &oracle{byDot: map[crdt.Dot]int{}} }

// learn marks in known the writes that region says it has incorporated, each in its own cell.
func (o *oracle) learn(known *bits, r *crdt.Region) {
	for i, w := range o.writes {
		if !known.has(i) && !o.void.has(i) && r.Incorporated(w.Key, w.Kind, w.Sub, w.Dot) {
			known.set(i)
		}
	}
}

// record adds a write that x is about to apply. It covers what lives there, by what x says that it has seen.
func (o *oracle) record(x replica, wrote crdt.Written, delta *big.Rat) error {
	if _, ok := o.byDot[wrote.Dot]; ok {
		return fmt.Errorf("dot %v names two writes", wrote.Dot)
	}
	wrote.Value = bytes.Clone(wrote.Value)
	w := &write{Written: wrote, seen: x.known.clone(), delta: delta}
	if w.Tag == crdt.TagReset {
		rest := w.Value[copy(w.target[:], w.Value):]
		to, n := binary.Uvarint(rest)
		from, _ := binary.Uvarint(rest[n:])
		w.from, w.to = crdt.Seq(from), crdt.Seq(to)
	}
	if w.Tag == crdt.TagCount && delta == nil {
		w.delta = new(big.Rat)
	}
	w.absorbs = w.Tag == crdt.TagRemove && !w.scoped() && o.hasResetOf(x, w)
	var everywhere crdt.Context
	if w.scoped() {
		everywhere = x.r.Context()
	}
	if w.Kind == crdt.CellBound {
		if err := o.spend(w); err != nil {
			return err
		}
	}
	i := len(o.writes)
	o.writes = append(o.writes, w)
	o.byDot[w.Dot] = i
	for j, v := range o.writes[:i] {
		if !w.seen.has(j) {
			continue
		}
		// A ghost may linger where something covers it already, and be covered once more. So is, by a scoped removal,
		// what its replica has seen everywhere.
		if w.covers(v) && (v.Tag == crdt.TagRemove || everywhere.Has(v.Dot) || !o.holds(x, v, v.coverers)) {
			v.coverers = append(v.coverers, i)
		}
		if v.Tag == crdt.TagCount && w.kills(v) && !o.holds(x, v, v.killers) {
			v.killers = append(v.killers, i)
		}
	}
	return nil
}

// hasResetOf tells whether the writer of w finds a reset of its own contribution in the cell. It settles these as
// soon as they arrive, so the remove that meets one is the one that settles it.
func (o *oracle) hasResetOf(x replica, w *write) bool {
	for j, v := range o.writes {
		if w.seen.has(j) && v.Tag == crdt.TagReset && v.sameCell(w) && v.target == w.Dot.Origin && !o.holds(x, v, v.coverers) {
			return true
		}
	}
	return false
}

// replica is what the oracle checks: a region, and the writes that it says it has incorporated.
type replica struct {
	r     *crdt.Region
	known bits
}

// holds tells whether one of the writes in list was incorporated in the cell of v.
func (o *oracle) holds(x replica, v *write, list []int) bool {
	for _, i := range list {
		w := o.writes[i]
		if o.void.has(i) {
			continue
		}
		if x.r.Pieces() == 0 || w.sameCell(v) {
			if x.known.has(i) {
				return true
			}
		} else if x.r.Incorporated(v.Key, v.Kind, v.Sub, w.Dot) {
			return true
		}
	}
	return false
}

// check compares a replica's siblings and ghosts with what they must be.
func (o *oracle) check(x replica) ([]*write, error) {
	tips := map[crdt.Dot]crdt.Tip{}
	ghosts := 0
	x.r.EachTip(func(t crdt.Tip) {
		tips[t.Dot] = t
		if t.Tag == crdt.TagRemove {
			ghosts++
		}
	})
	var live []*write
	for i, w := range o.writes {
		t, there := tips[w.Dot]
		if !x.known.has(i) {
			if there {
				return nil, fmt.Errorf("%v is there and was not seen", w)
			}
			continue
		}
		covered := o.holds(x, w, w.coverers)
		switch {
		case w.Tag == crdt.TagRemove:
			if !covered && !there && !x.r.Forgotten(w.Dot) {
				return nil, fmt.Errorf("%v: its ghost is gone, and neither covered nor below the floor", w)
			}
			continue
		case covered && there:
			return nil, fmt.Errorf("%v lives, and %v covers it", w, o.firstHeld(x, w))
		case !covered && !there:
			return nil, fmt.Errorf("%v is lost", w)
		case covered:
			continue
		}
		if t.Key != w.Key || t.Kind != w.Kind || t.Sub != w.Sub || t.Tag != w.Tag || t.HLC != w.HLC || !bytes.Equal(t.Value, w.Value) {
			return nil, fmt.Errorf("%v is stored as %+v", w, t)
		}
		live = append(live, w)
	}
	if len(live)+ghosts != len(tips) {
		return nil, fmt.Errorf("%d siblings must live and %d do", len(live), len(tips)-ghosts)
	}
	return live, nil
}

// checkPast wants, for each write, all that its writer had seen, but what is nowhere any more.
func (o *oracle) checkPast(x replica) error {
	had := x.known.clone()
	for i := range o.writes {
		if o.void.has(i) {
			had.set(i)
		}
	}
	for i, w := range o.writes {
		if !x.known.has(i) {
			continue
		}
		if j := w.seen.lacking(had); j >= 0 {
			return fmt.Errorf("%v is there, and not what it comes after: %v", w, o.writes[j])
		}
	}
	return nil
}

// living lists the writes that must live.
func (o *oracle) living(x replica) (live []*write) {
	for i, w := range o.writes {
		if x.known.has(i) && w.Tag != crdt.TagRemove && !o.holds(x, w, w.coverers) {
			live = append(live, w)
		}
	}
	return live
}

func (o *oracle) firstHeld(x replica, v *write) *write {
	for _, i := range v.coverers {
		if o.holds(x, v, []int{i}) {
			return o.writes[i]
		}
	}
	return nil
}

func (w *write) String() string {
	tag := [...]string{"remove", "register", "count", "reset", "member", "expiry", "flag", "row"}
	kind := [...]string{"", "value", "member", "field", "expiry", "drop", "flush", "score", "flag", "item", "entry", "stream", "block", "page", "node", "bound"}
	return fmt.Sprintf("%v %s %s of %q/%q", w.Dot, tag[w.Tag], kind[w.Kind], w.Key, w.Sub)
}

// bits is a set of write numbers.
type bits []uint64

func (b bits) has(i int) bool { return i>>6 < len(b) && b[i>>6]>>(i&63)&1 == 1 }

func (b *bits) set(i int) {
	for i>>6 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[i>>6] |= 1 << (i & 63)
}

// lacking gives a member of b that is not in c, or -1.
func (b bits) lacking(c bits) int {
	for i, x := range b {
		if i < len(c) {
			x &^= c[i]
		}
		if x != 0 {
			return i<<6 + mathbits.TrailingZeros64(x)
		}
	}
	return -1
}

func (b bits) clone() bits { return append(bits(nil), b...) }
