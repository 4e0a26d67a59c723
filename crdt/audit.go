package crdt

import (
	"fmt"
	"slices"
)

// This file is the door for checkers: tests, the simulation, a scrub. Nothing here is needed to run.

// Written tells one local write to Config.Trace, just before it is applied.
type Written struct {
	Dot   Dot
	Key   string
	Sub   string
	Kind  CellKind
	Tag   Tag
	HLC   HLC
	Value []byte
}

// Tip is one live sibling or ghost of a cell.
type Tip struct {
	Key   string
	Sub   string
	Kind  CellKind
	Tag   Tag // TagRemove for a ghost
	Dot   Dot
	HLC   HLC
	Value []byte
}

// EachTip calls fn on every live sibling and every ghost, by position. fn must not keep Value.
func (r *Region) EachTip(fn func(Tip)) {
	for _, c := range r.cellsFrom(posMin, posMax) {
		for i := range c.sibs {
			s := &c.sibs[i]
			fn(Tip{c.e.key, c.sub, c.kind, s.tag, r.dot(s.tip), s.hlc, s.val})
		}
		for _, g := range c.ghosts {
			fn(Tip{Key: c.e.key, Sub: c.sub, Kind: c.kind, Dot: r.dot(g)})
		}
	}
}

// Incorporated reports whether this replica has seen d in the cell's part of the hash space: everywhere, or
// by an unfinished pull that came that far.
func (r *Region) Incorporated(key string, kind CellKind, sub string, d Dot) bool {
	return r.has(r.key.pos(key, kind, sub), d)
}

// Pieces is how many ranges of the hash space an unfinished pull has brought further than the rest.
func (r *Region) Pieces() int { return len(r.pieces) }

// Waiting is how many pushed writes are kept back, and their bytes.
func (r *Region) Waiting() (writes, bytes int) { return len(r.waiting), r.waitLen }

// Audit recomputes from the cells alone everything that the region keeps beside them, and reports the first
// difference: digest, counts, bytes, dot index, expiry, pieces, and that every live dot was seen.
func (r *Region) Audit() error {
	a := audit{r: r, dots: map[Dot]*cell{}}
	a.entries()
	if a.err == nil {
		a.totals()
	}
	if a.err == nil {
		a.index()
	}
	if a.err == nil {
		a.pieces()
	}
	if a.err == nil {
		a.origins()
	}
	if a.err != nil {
		return fmt.Errorf("region %q: audit: %w", r.cfg.Name, a.err)
	}
	return nil
}

type audit struct {
	r        *Region
	dots     map[Dot]*cell
	digest   uint64
	visible  int
	live     int
	ghosts   int
	bytes    int64
	expiring int
	scopes   int
	err      error
}

func (a *audit) want(ok bool, format string, args ...any) {
	if !ok && a.err == nil {
		a.err = fmt.Errorf(format, args...)
	}
}

func (a *audit) entries() {
	last, n := uint64(0), 0
	a.r.entries.ascend(0, func(h uint64, e *entry) bool {
		a.want(n == 0 || h >= last, "entries out of order at %q", e.key)
		a.want(h == e.hash, "entry %q is filed under another hash", e.key)
		a.want(e.size() > 0, "entry %q has no cell", e.key)
		last = h
		n++
		a.entry(e)
		return a.err == nil
	})
	a.want(n == a.r.entries.n, "the table has %d entries and says %d", n, a.r.entries.n)
}

func (a *audit) entry(e *entry) {
	a.bytes += int64(len(e.key))
	var count [CellExpiry]int32
	var exp int64
	last, n := uint64(0), 0
	e.each(0, func(c *cell) bool {
		a.want(n == 0 || c.hash >= last, "cells of %q out of order", e.key)
		a.want(c.e == e && !c.gone && !c.empty(), "a dead cell in %q", e.key)
		a.want(c.pos() == a.r.key.pos(e.key, c.kind, c.sub), "cell %q %q is out of place", e.key, c.sub)
		a.want(e.cell(c.kind, c.sub) == c, "cell %q %q is not found, or there twice", e.key, c.sub)
		last = c.hash
		n++
		a.cell(c)
		if c.present() {
			count[c.kind]++
		}
		if c.kind == CellExpiry {
			exp = latestInstant(c)
		}
		return a.err == nil
	})
	a.want(count == e.count, "entry %q counts %v, has %v", e.key, e.count, count)
	a.want(exp == e.exp, "entry %q expires at %d, its cell says %d", e.key, e.exp, exp)
	if e.kind() != KindNone {
		a.visible++
	}
	if e.exp != 0 {
		a.expiring++
		a.want(slices.ContainsFunc(a.r.expiry, func(x expiryEnt) bool { return x.key == e.key && x.at == e.exp }),
			"the expiry of %q is not in the heap", e.key)
	}
}

func (a *audit) cell(c *cell) {
	a.bytes += int64(len(c.sub))
	for i := range c.sibs {
		s := &c.sibs[i]
		a.live++
		a.bytes += int64(len(s.val))
		a.digest ^= a.r.siblingHash(c, s)
		a.tip(c, s.tip)
		a.want(s.tag != TagRemove, "a remove is a sibling in %q", c.e.key)
	}
	for _, g := range c.ghosts {
		a.ghosts++
		a.tip(c, g)
	}
	if c.kind == CellFlush && len(c.ghosts) > 0 {
		a.scopes++
		a.want(slices.Contains(a.r.scopes, c), "a scope is not listed")
	}
}

func (a *audit) tip(c *cell, t tip) {
	if int(t.org) >= len(a.r.origins) {
		a.want(false, "cell %q has origin %d of %d", c.e.key, t.org, len(a.r.origins))
		return
	}
	d := a.r.dot(t)
	a.want(a.dots[d] == nil, "dot %v is twice in the region, at %q", d, c.e.key)
	a.dots[d] = c
	a.want(a.r.has(c.pos(), d), "dot %v lives in %q and was not seen there", d, c.e.key)
}

func (a *audit) origins() {
	r, free := a.r, 0
	for i := range r.origins {
		o := &r.origins[i]
		if o.free() {
			free++
			a.want(slices.Contains(r.free, uint32(i)), "slot %d is of no origin and not listed", i)
			continue
		}
		have, ok := r.byID[o.id]
		a.want(ok && have == uint32(i), "origin %v is in slot %d and listed in %d", o.id, i, have)
		a.want(o.below == r.below(o.id), "origin %v: below its line: %v", o.id, o.below)
	}
	below := 0
	for i := range r.origins {
		if r.origins[i].below {
			below++
		}
	}
	a.want(below == r.belows, "%d origins below their lines, counted %d", below, r.belows)
	a.want(free == len(r.free) && len(r.byID)+free == len(r.origins), "%d slots, %d free, %d origins", len(r.origins), free, len(r.byID))
}

func (a *audit) totals() {
	r := a.r
	a.want(a.digest == r.digest, "digest %x, recomputed %x", r.digest, a.digest)
	a.want(a.visible == r.visible, "%d entries, recomputed %d", r.visible, a.visible)
	a.want(a.live == r.live, "%d siblings, recomputed %d", r.live, a.live)
	a.want(a.ghosts == r.ghosts, "%d ghosts, recomputed %d", r.ghosts, a.ghosts)
	a.want(a.bytes == r.bytes, "%d bytes, recomputed %d", r.bytes, a.bytes)
	a.want(a.expiring == r.expiring, "%d entries expire, recomputed %d", r.expiring, a.expiring)
	a.want(a.scopes == len(r.scopes), "%d scopes, recomputed %d", len(r.scopes), a.scopes)
	size := 0
	for _, w := range r.waiting {
		size += w.size
	}
	a.want(size == r.waitLen, "%d bytes wait, recomputed %d", r.waitLen, size)
}

// index asks each dot index for everything, which must be every live tip, once.
func (a *audit) index() {
	r := a.r
	found := 0
	for i := range r.origins {
		o := &r.origins[i]
		n := 0
		o.index.missing(uint32(i), Runs{}, func(s Seq, c *cell) {
			n++
			a.want(a.dots[Dot{o.id, s}] == c, "the index has %v:%d in the wrong cell", o.id, s)
		})
		a.want(len(o.index.ents)-n <= o.index.dead, "the index of %v has %d dead entries and counts %d", o.id, len(o.index.ents)-n, o.index.dead)
		found += n
	}
	a.want(found == len(a.dots), "the index finds %d of %d dots", found, len(a.dots))
}

func (a *audit) pieces() {
	at := posMin
	for i, x := range a.r.pieces {
		a.want(!x.hi.less(x.lo) && (i == 0 || !x.lo.less(at)), "piece %d overlaps or ends before it begins", i)
		a.want(i == 0 || a.r.pieces[i-1].hi != posMax, "piece %d lies behind the end", i)
		a.want(len(x.extra) > 0, "piece %d says nothing", i)
		at = x.hi.next()
	}
}
