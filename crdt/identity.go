package crdt

import (
	"errors"
	"fmt"
	"slices"
)

// ErrRolledBack says that a peer knows writes of our own origin that we have not made: this process, or the machine
// under it, was put back to an earlier state. Reincarnate before anything else is written or merged.
var ErrRolledBack = errors.New("crdt: this replica was rolled back")

// OwnTop is the number of our last write.
func (r *Region) OwnTop() Seq {
	top := r.aside().wrote
	if i, ok := r.numberOf(r.origin); ok {
		top = max(top, r.origins[i].runs.Top())
	}
	return top
}

// Wrote tells a new replica that its origin has written up to a number before, to a replica that is no more: the next write is
// beyond it, and a peer that knows of those is right.
func (r *Region) Wrote(top Seq) {
	if top > r.OwnTop() {
		r.setAside().wrote = top
	}
}

// outrun is ErrRolledBack where the line of this node was raised beyond the running start.
type outrun struct {
	self Origin
	line Seq
}

func (e *outrun) Error() string {
	return fmt.Sprintf("%v: the starts of this node below number %d are known elsewhere to have ended, and this one, %v, has number %d",
		ErrRolledBack, e.line, e.self, e.self.Number())
}

func (e *outrun) Unwrap() error { return ErrRolledBack }

// LeastNumber is the number that a new start must have at least, after an ErrRolledBack.
func LeastNumber(err error) uint32 {
	var e *outrun
	if errors.As(err, &e) {
		return uint32(e.line)
	}
	return 0
}

// checkOwn compares what a peer has seen of our own writes and starts with what we know of them.
func (r *Region) checkOwn(c Context) error {
	if line := c[r.origin.Line()].Base; line > Seq(r.origin.Number()) {
		return &outrun{r.origin, line}
	}
	own := c[r.origin]
	return r.checkOwnTop(own.Top())
}

func (r *Region) checkOwnTop(seen Seq) error {
	if own := r.OwnTop(); seen > own {
		return fmt.Errorf("%w: write %d of %v is known elsewhere, and we wrote %d", ErrRolledBack, seen, r.origin, own)
	}
	return nil
}

// CheckHello is ErrRolledBack if the peer that sent the Hello knows more of our writes, or of the starts of this node, than we do.
func (r *Region) CheckHello(s *Seen) error { return r.checkOwn(s.Context) }

// Reincarnate gives local writes another origin, after ErrRolledBack. told is the highest number of the old
// origin that was certainly made before the replica was copied, such as the highest that any peer had told us to have
// seen. Live writes above it were made in both of two lives under one dot: ours are written again under the new
// origin, with their stamps, and the old dots are left to the other life; what that one wrote comes by pulls. It
// reports how many were written again, and how many could not be: removals of a whole entry or region are left to the
// other life as well. A counter to which both lives added counts the sum from before twice.
func (r *Region) Reincarnate(o Origin, told Seq, now int64) (again, left int) {
	old, had := r.self, r.hasSelf
	r.out, r.origin, r.hasSelf = nil, o, false
	if x := r.seldom; x != nil {
		x.settle, x.waiting, x.waitLen, x.wrote = nil, nil, 0, 0
	}
	r.version++
	if !had {
		return 0, 0
	}
	again, left = r.writeAgain(old, Runs{Base: told}, now, true)
	// A push would say that they cover the old dots, which name the other life's writes elsewhere, and not what those
	// of this life covered. A pull says what is true.
	r.out = nil
	x := &r.origins[old]
	x.runs, x.dirty = x.runs.Intersect(Runs{Base: told}), true
	x.floor = min(x.floor, told)
	return again, left
}

// writeAgain moves what lives of an origin, but for what was told, to ours. What cannot be moved is left, or dropped.
func (r *Region) writeAgain(old uint32, told Runs, now int64, drop bool) (again, left int) {
	type live struct {
		at pos
		t  tip
	}
	var all []live
	r.origins[old].index.each(&r.store, 1, func(seq Seq, ref uint64) bool {
		if !told.Has(seq) {
			all = append(all, live{r.store.posOf(ref), tip{old, seq}})
		}
		return true
	})
	tx := r.begin(now)
	for _, l := range all {
		r.store.rewriteCells([]pos{l.at}, func(c *cell) {
			if tx.takeOver(c, l.t) || tx.writeAgain(c, l.t) {
				again++
				return
			}
			if left++; drop {
				r.change(c, func() { r.dropTip(c, l.t) })
			}
		})
	}
	return again, left
}

// takeOver moves a contribution to a counter, or a reset, from our earlier origin to ours. A contribution keeps what it adds,
// the sum before the two lives parted included: where both lives added to a counter, that part counts twice.
func (t *Tx) takeOver(c *cell, x tip) bool {
	r, i := t.r, c.sibling(x)
	if i < 0 {
		return false
	}
	s := c.sibs[i]
	switch s.tag {
	case TagCount:
		k := t.ours(c)
		k.total = k.total.add(r.share(c, &s))
		s.val = k.encode()
	case TagReset:
	default:
		return false
	}
	t.write(c, s.tag, slices.Clone(s.val), func(o *sibling) bool { return o.tip == x || s.tag == TagCount && o.tag == TagCount && o.org == r.self })
	return true
}

// writeAgain replaces one sibling or ghost by a write of ours with the same content and stamp.
func (t *Tx) writeAgain(c *cell, x tip) bool {
	r, i := t.r, c.sibling(x)
	if i < 0 {
		if c.scopes() {
			return false
		}
		t.write(c, TagRemove, nil, func(*sibling) bool { return false })
		return true
	}
	s := c.sibs[i]
	if s.tag == TagCount || s.tag == TagReset {
		return false
	}
	val, err := r.value(c, &s)
	if err != nil {
		return false
	}
	t.stamp = s.hlc
	t.write(c, s.tag, slices.Clone(val), func(o *sibling) bool { return o.tip == x })
	t.stamp = 0
	return true
}

// compare notes a fork: a write that came for a dot which lives here with another content.
func (r *Region) compare(op *deltaOp) {
	i, ok := r.numberOf(op.dot.Origin)
	if !ok || op.tag == TagRemove {
		return
	}
	e := r.find(r.store.key.entry(op.key, op.kind), op.key)
	c := e.cell(op.kind, op.sub)
	if c == nil {
		return
	}
	if k := c.sibling(tip{i, op.dot.Seq}); k >= 0 {
		came := sibling{val: op.val, hlc: op.hlc, tag: op.tag, tip: c.sibs[k].tip}
		switch s := &c.sibs[k]; {
		case r.siblingHash(c, s) != r.siblingHash(c, &came):
			r.stats.Forks++
		case s.lost:
			r.comeBack(s, op.val)
			r.put(c, c.present())
		}
	}
}
