package crdt

import (
	"bytes"
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
	Bytes int   // of the value
	Err   error // why there is no Value: it is on disk alone and cannot be read back
}

// EachTip calls fn on every live sibling and every ghost, by position. fn must not keep Value.
func (r *Region) EachTip(fn func(Tip)) {
	r.eachCell(posMin, posMax, func(c *cell) bool {
		key, sub := string(c.key), string(c.sub)
		for i := range c.sibs {
			s := &c.sibs[i]
			val, err := r.value(c, s)
			fn(Tip{key, sub, c.kind, s.tag, r.dot(s.tip), s.hlc, val, s.length(), err})
		}
		for _, g := range c.ghosts {
			fn(Tip{Key: key, Sub: sub, Kind: c.kind, Dot: r.dot(g)})
		}
		return true
	})
}

// Incorporated reports whether this replica has seen d in the cell's part of the hash space: everywhere, or
// by an unfinished pull that came that far.
func (r *Region) Incorporated(key string, kind CellKind, sub string, d Dot) bool {
	return r.has(r.store.key.pos(key, kind, sub), d)
}

// Pieces is how many ranges of the hash space an unfinished pull has brought further than the rest.
func (r *Region) Pieces() int { return len(r.pieces) }

// Waiting is how many pushed writes are kept back, and their bytes.
func (r *Region) Waiting() (writes, bytes int) { return len(r.aside().waiting), r.aside().waitLen }

// Audit recomputes from the cells alone everything that the region keeps beside them, and reports the first
// difference: digest, counts, bytes, tables, dot index, memory, expiry, pieces, and that every live dot was seen.
func (r *Region) Audit() error {
	a := audit{r: r, dots: map[Dot]uint64{}}
	a.entries()
	if a.err == nil {
		a.totals()
	}
	if a.err == nil {
		a.index()
	}
	if a.err == nil {
		a.orders()
	}
	if a.err == nil {
		a.memory()
	}
	if a.err == nil {
		a.pieces()
	}
	if a.err == nil {
		a.origins()
	}
	if a.err != nil {
		return fmt.Errorf("region %q: audit: %w", r.name, a.err)
	}
	return nil
}

type audit struct {
	r        *Region
	dots     map[Dot]uint64 // and the records that hold them
	digest   uint64
	visible  int
	live     int
	ghosts   int
	bytes    int64
	expiring int
	flushes  int

	away, lost int
	awayBytes  int64
	packed     int
	packedSize int64
	lostSum    uint64

	use [purposes]int64
	err error
}

func (a *audit) want(ok bool, format string, args ...any) {
	if !ok && a.err == nil {
		a.err = fmt.Errorf(format, args...)
	}
}

func (a *audit) entries() {
	s := &a.r.store
	last, n := uint64(0), 0
	a.table(&s.entries)
	s.entries.ascend(0, func(ref uint64) bool {
		e := s.entryAt(ref)
		a.want(n == 0 || e.hash >= last, "entries out of order at %q", e.key())
		a.want(s.find(e.hash, string(e.key())).ref == ref, "entry %q is not found, or there twice", e.key())
		last = e.hash
		n++
		a.entry(e)
		return a.err == nil
	})
	a.want(n == s.entries.n, "the table has %d entries and says %d", n, s.entries.n)
}

// table adds up a table's slots.
func (a *audit) table(t *table) {
	if t.slots != 0 {
		a.use[forIndex] += int64(len(a.r.store.mem.Bytes(t.slots)))
	}
	a.want((t.n == 0) == (t.slots == 0), "a table of %d has slots %d", t.n, t.slots)
}

// record adds up a record.
func (a *audit) record(ref uint64) {
	b := a.r.store.mem.Bytes(ref)
	a.use[purposeOf(b)] += int64(len(b))
}

func (a *audit) entry(e entry) {
	a.bytes += int64(len(e.key()))
	if e.many() {
		a.record(e.ref)
		t := e.s.cellsOf(e.b)
		a.table(&t)
		a.want(t.n > 1, "entry %q of %d cells has a head", e.key(), t.n)
	}
	count := map[CellKind]int{}
	var exp int64
	alive := 0
	last, n := uint64(0), 0
	e.each(0, func(c *cell) bool {
		a.want(n == 0 || c.at.c >= last, "cells of %q out of order", e.key())
		a.want(c.in == e.ref && bytes.Equal(c.key, e.key()) && !c.empty(), "a dead cell in %q", e.key())
		a.want(c.pos() == a.r.store.key.pos(string(e.key()), c.kind, string(c.sub)), "cell %q %q is out of place", e.key(), c.sub)
		a.want(e.record(c.kind, string(c.sub)) == c.ref, "cell %q %q is not found, or there twice", e.key(), c.sub)
		last = c.at.c
		n++
		a.cell(c)
		if live(c) {
			alive++
		}
		if c.present() {
			count[c.kind]++
		}
		if c.kind == CellExpiry {
			exp = latestInstant(c)
		}
		return a.err == nil
	})
	a.want(n == e.size(), "entry %q has %d cells and says %d", e.key(), n, e.size())
	a.want(!e.many() || alive == headLiveCells(e.b), "entry %q has %d live cells", e.key(), alive)
	for _, k := range shownKinds {
		a.want(count[k] == e.count(k), "entry %q counts %d of kind %d, has %d", e.key(), e.count(k), k, count[k])
	}
	a.want(exp == e.exp(), "entry %q expires at %d, its cell says %d", e.key(), e.exp(), exp)
	if e.kind() != KindNone {
		a.visible++
	}
	if exp != 0 {
		a.expiring++
		a.want(slices.ContainsFunc(a.r.expiry, func(x expiryEnt) bool { return x.hash == e.hash && x.at == exp }),
			"the expiry of %q is not in the heap", e.key())
	}
}

func (a *audit) cell(c *cell) {
	a.record(c.ref)
	a.bytes += int64(len(c.sub))
	for i := range c.sibs {
		s := &c.sibs[i]
		a.live++
		a.bytes += int64(s.length())
		if s.away {
			a.away++
			a.awayBytes += int64(s.size)
			if s.packed != nil {
				a.packed++
				a.packedSize += int64(len(s.packed))
			}
			a.want(s.tag == TagReg && s.val == nil, "a value of tag %d is away in %q", s.tag, c.key)
		}
		if s.lost {
			a.lost++
			a.lostSum ^= s.hash
		}
		a.digest ^= a.r.siblingHash(c, s)
		a.tip(c, s.tip)
		a.want(s.tag != TagRemove, "a remove is a sibling in %q", c.key)
	}
	for _, g := range c.ghosts {
		a.ghosts++
		a.tip(c, g)
		if c.kind == CellFlush {
			a.flushes++
		}
	}
	a.want(!c.dirty || a.r.dirty != nil && slices.Contains(a.r.dirty.at, c.at), "cell %q %q is dirty and not listed", c.key, c.sub)
}

func (a *audit) tip(c *cell, t tip) {
	if int(t.org) >= len(a.r.origins) {
		a.want(false, "cell %q has origin %d of %d", c.key, t.org, len(a.r.origins))
		return
	}
	d := a.r.dot(t)
	a.want(a.dots[d] == 0, "dot %v is twice in the region, at %q", d, c.key)
	a.dots[d] = c.ref
	a.want(a.r.has(c.pos(), d), "dot %v lives in %q and was not seen there", d, c.key)
}

func (a *audit) origins() {
	r, free := a.r, 0
	for i := range r.origins {
		o := &r.origins[i]
		if o.free() {
			free++
			a.want(slices.Contains(r.aside().free, uint32(i)), "slot %d is of no origin and not listed", i)
			continue
		}
		have, ok := r.numberOf(o.id)
		a.want(ok && have == uint32(i), "origin %v is in slot %d and listed in %d", o.id, i, have)
		a.want(o.below == r.below(o.id), "origin %v: below its line: %v", o.id, o.below)
	}
	below := 0
	for i := range r.origins {
		if r.origins[i].below {
			below++
		}
	}
	a.want(below == r.aside().belows, "%d origins below their lines, counted %d", below, r.aside().belows)
	a.want(free == len(r.aside().free) && (r.byID == nil || len(r.byID)+free == len(r.origins)), "%d slots, %d free, %d origins", len(r.origins), free, len(r.byID))
}

func (a *audit) totals() {
	r := a.r
	a.want(a.digest == r.digest, "digest %x, recomputed %x", r.digest, a.digest)
	a.want(a.visible == r.visible, "%d entries, recomputed %d", r.visible, a.visible)
	a.want(a.live == r.live, "%d siblings, recomputed %d", r.live, a.live)
	a.want(a.ghosts == r.ghosts, "%d ghosts, recomputed %d", r.ghosts, a.ghosts)
	a.want(a.bytes == r.bytes, "%d bytes, recomputed %d", r.bytes, a.bytes)
	x := r.aside()
	a.want(nothing.none(), "what no region has says %+v", nothing)
	a.want(a.away == x.away && a.awayBytes == x.awayBytes, "%d values of %d bytes are away, recomputed %d of %d", x.away, x.awayBytes, a.away, a.awayBytes)
	a.want(a.packed == x.packed && a.packedSize == x.packedSize, "%d values are packed to %d bytes, recomputed %d to %d", x.packed, x.packedSize, a.packed, a.packedSize)
	a.want(a.lost == x.lost && a.lostSum == x.lostSum, "%d values are lost, recomputed %d", x.lost, a.lost)
	a.want(a.expiring == r.expiring, "%d entries expire, recomputed %d", r.expiring, a.expiring)
	a.want(a.flushes == r.flushes, "%d ghosts of the whole region, recomputed %d", r.flushes, a.flushes)
	size := 0
	for _, w := range r.aside().waiting {
		size += w.size
	}
	a.want(size == r.aside().waitLen, "%d bytes wait, recomputed %d", r.aside().waitLen, size)
}

// index asks each dot index for everything, which must be every live tip, once, in order.
func (a *audit) index() {
	r := a.r
	found := 0
	for i := range r.origins {
		o := &r.origins[i]
		n, last := 0, Seq(0)
		o.index.missing(&r.store, Runs{}, func(s Seq, ref uint64) {
			n++
			a.want(s >= last, "the index of %v has %d behind %d", o.id, s, last)
			a.want(a.dots[Dot{o.id, s}] == ref, "the index has %v:%d in the wrong cell", o.id, s)
			last = s
		})
		a.want(n == o.index.n, "the index of %v has %d dots and counts %d", o.id, n, o.index.n)
		a.want(n == o.index.from(&r.store, 0), "the leaves of %v do not add up to %d", o.id, n)
		for _, l := range o.index.leaves {
			a.use[forCausal] += int64(len(r.store.mem.Bytes(l.ref)))
			a.want(l.n > l.dead && l.base <= last, "an empty leaf of %v", o.id)
		}
		found += n
	}
	a.want(found == len(a.dots), "the index finds %d of %d dots", found, len(a.dots))
}

// memory compares what was allocated with what leads to it: a difference is a leak.
func (a *audit) memory() {
	if m, ok := a.r.store.mem.(*slabs); ok {
		var worn, noted int64
		for i := range m.chunks {
			c := &m.chunks[i]
			worn, noted = worn+int64(c.used)*int64(c.size), noted+int64(4*len(m.tagsOf(uint64(i))))
		}
		a.want(worn == m.worn && noted == m.noted, "%d bytes of slots were given out once, %d noted, recomputed %d, %d", m.worn, m.noted, worn, noted)
		a.room(m)
	}
	a.want(a.use == a.r.store.use, "allocated by purpose %v, recomputed %v", a.r.store.use, a.use)
}

// room compares the lists of chunks that have room with the chunks.
func (a *audit) room(m *slabs) {
	listed := map[uint32]bool{}
	for _, s := range m.sizes {
		for i, before := s.room, uint32(0); i != 0 && !listed[i]; i, before = m.chunks[i].next, i {
			c := &m.chunks[i]
			listed[i] = true
			a.want(c.kind == s.kind && c.prev == before, "chunk %d is in the wrong list", i)
		}
	}
	for i := range m.chunks {
		c := &m.chunks[i]
		a.want(listed[uint32(i)] == (c.b != nil && c.kind != kindAlone && c.hasRoom()), "chunk %d, of which %d slots are in use, is listed wrongly", i, c.live)
	}
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
