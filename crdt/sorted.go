package crdt

import (
	"encoding/binary"
	"errors"
	"math"
)

// A sorted set is an observed-remove set (Shapiro et al., "A comprehensive study of CRDTs", 2011) whose members carry a number.
// Each member is a cell: registers that ZADD writes, of which the last shows, and counter contributions that ZINCRBY adds, see
// counter.go. So an add wins over a concurrent remove; what a remove had seen is gone, and what it had not seen stays:
// 10, then ZREM ‖ ZINCRBY +2 is 2.
//
// Scores are float64, kept by their bits. Replicas must agree to the bit, and sums of floats depend on their order; therefore
// contributions are exact binary fractions (num.two), which do not, and only the sum is rounded. A local increment behaves as
// Redis's: it rounds score + increment, and what it contributes is the exact difference to that.
//
//	value of a register       8 bytes, big endian: math.Float64bits; not a NaN
//	score of a member         register + sum of the contributions, rounded once
//
// An infinity is no sum: an increment that leads to one, or from one, writes the result as a register.
//
//	cost: as of a map's field. In order: see order.go.

// ErrNotScore says that a score, or what an increment would make of it, is no number.
var ErrNotScore = errors.New("crdt: the score is not a number")

// scoreBytes is the length of a register in a sorted set.
const scoreBytes = 8

func encodeScore(f float64) []byte {
	return binary.BigEndian.AppendUint64(nil, math.Float64bits(f))
}

// decodeScore reads a register. What no version writes counts as 0, everywhere alike.
func decodeScore(b []byte) float64 {
	if len(b) != scoreBytes {
		return 0
	}
	if f := math.Float64frombits(binary.BigEndian.Uint64(b)); f == f {
		return f
	}
	return 0
}

// scoreKey maps scores to numbers of the same order. -0 is 0.
func scoreKey(f float64) uint64 {
	if f == 0 {
		return 1 << 63
	}
	b := math.Float64bits(f)
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

// scoreOf is the score in a record that shows one.
func (r *Region) scoreOf(p *packed) float64 {
	if p.flags&bodyMask == bodySibling && p.tag == TagReg {
		return decodeScore(value(p.body, p.flags&recordWide != 0))
	}
	c := cell{kind: p.kind}
	p.decode(&c)
	return r.score(&c)
}

// score is the view of a member's cell.
func (r *Region) score(c *cell) float64 {
	base := 0.0
	if w := r.winner(c); w != nil {
		base = decodeScore(w.val)
	}
	if sum, counted := r.sum(c); counted && !math.IsInf(base, 0) {
		return sum.add(numOf(base)).float()
	}
	return base
}

// exactScore is score before it is rounded; the register must be finite.
func (r *Region) exactScore(c *cell) num {
	sum, _ := r.sum(c)
	if w := r.winner(c); w != nil {
		sum = sum.add(numOf(decodeScore(w.val)))
	}
	return sum
}

// SortedSet gives a member a score. It reports whether the member was new. Errors: ErrWrongType, ErrTooLarge, ErrNotScore.
func (t *Tx) SortedSet(key, member string, score float64) (added bool, err error) {
	c, err := t.member(key, member, score)
	if err != nil {
		return false, err
	}
	added = !c.present()
	t.assign(c, encodeScore(score))
	return added, nil
}

// SortedIncr adds to a member's score, which starts at 0. Errors as of SortedSet.
func (t *Tx) SortedIncr(key, member string, delta float64) (score float64, err error) {
	c, err := t.member(key, member, delta)
	if err != nil {
		return 0, err
	}
	have := t.r.score(c)
	score = have + delta
	switch {
	case math.IsNaN(score):
		return 0, ErrNotScore
	case math.IsInf(score, 0) || math.IsInf(have, 0):
		t.assign(c, encodeScore(score))
		return score, nil
	}
	return score, t.contribute(c, numOf(score).sub(t.r.exactScore(c)))
}

// member readies a member for a write with a number.
func (t *Tx) member(key, member string, f float64) (*cell, error) {
	if err := fits(key, member, nil); err != nil {
		return nil, err
	}
	if math.IsNaN(f) {
		return nil, ErrNotScore
	}
	e, err := t.need(key, KindSorted)
	if err != nil {
		return nil, err
	}
	c := t.r.handle()
	t.r.seekIn(c, e, key, CellScore, member)
	return c, nil
}

// SortedRemove removes the member as far as it was seen here. It reports whether there was one.
func (t *Tx) SortedRemove(key, member string) (removed bool, err error) {
	return t.removeSub(key, KindSorted, CellScore, member)
}

// SortedScore reads a member's score. Error: ErrWrongType.
func (v *View) SortedScore(key, member string) (score float64, ok bool, err error) {
	e, err := v.of(key, KindSorted)
	if !e.ok() {
		return 0, false, err
	}
	ref := e.record(CellScore, member)
	if ref == 0 {
		return 0, false, nil
	}
	p := unpack(v.r.store.mem.Bytes(ref))
	if !p.present() {
		return 0, false, nil
	}
	return v.r.scoreOf(&p), true, nil
}

// SortedLen counts the members. Error: ErrWrongType.
func (v *View) SortedLen(key string) (int, error) {
	e, err := v.of(key, KindSorted)
	if !e.ok() {
		return 0, err
	}
	return e.count(CellScore), nil
}

// SortedEach calls fn on the members from rank from on, in the order of scores, then of members, byte by byte, or backwards, until
// fn returns false. Ranks are counted from the lowest score. Error: ErrWrongType. fn must neither write nor keep member.
func (v *View) SortedEach(key string, from int, back bool, fn func(member []byte, score float64) bool) error {
	e, err := v.of(key, KindSorted)
	if !e.ok() {
		return err
	}
	q := v.orderOf(e, CellScore)
	q.each(from, back, func(ref uint64) bool {
		p := unpack(v.r.store.mem.Bytes(ref))
		return fn(p.sub, v.r.scoreOf(&p))
	})
	return nil
}

// SortedRank counts the members before one. Error: ErrWrongType.
func (v *View) SortedRank(key, member string) (rank int, ok bool, err error) {
	score, ok, err := v.SortedScore(key, member)
	if !ok {
		return 0, false, err
	}
	e, _ := v.of(key, KindSorted)
	q := v.orderOf(e, CellScore)
	return q.rank(&mark{key: scoreKey(score), sub: []byte(member)}), true, nil
}

// SortedBelow counts the members whose score is less than a bound, or equal where through is set. Error: ErrWrongType.
func (v *View) SortedBelow(key string, bound float64, through bool) (int, error) {
	k := scoreKey(bound)
	if through {
		if k == math.MaxUint64 {
			return v.SortedLen(key)
		}
		k++
	}
	return v.sortedRank(key, &mark{key: k})
}

// SortedBelowMember counts the members that are less than one byte by byte, or equal where through is set. It means something where all
// scores are alike. Error: ErrWrongType.
func (v *View) SortedBelowMember(key, member string, through bool) (int, error) {
	return v.sortedRank(key, &mark{sub: []byte(member), bySub: true, beyond: through})
}

func (v *View) sortedRank(key string, m *mark) (int, error) {
	e, err := v.of(key, KindSorted)
	if !e.ok() {
		return 0, err
	}
	q := v.orderOf(e, CellScore)
	return q.rank(m), nil
}

// SortedScan is to members as SetScan is.
func (v *View) SortedScan(key string, cursor uint64, count int, fn func(member string, score float64)) (next uint64, err error) {
	e, err := v.of(key, KindSorted)
	if !e.ok() {
		return 0, err
	}
	return e.scan(cursor, count, CellScore, func(c *cell) { fn(string(c.sub), v.r.score(c)) }), nil
}
