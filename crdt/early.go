package crdt

import (
	"cmp"
	"slices"
)

// A pull goes by the hash space, in which nothing is near to anything. Where it takes long, what the puller's users
// read and what was written last should not wait for the end: those entries come first, each as a chunk of its own
// range, and once more when the pull gets there.

const (
	// wantedMax bounds the entries that a Hello asks for first.
	wantedMax = 256
	// recentMax bounds the entries that are sent first because they were written last.
	recentMax = 64
	// earlyMin is how many dots the peer must lack.
	earlyMin = 1 << 10
	// earlyShare is the part of a pull's cells that may be sent early, and so twice: one in so many.
	earlyShare = 32
	// earlyBytes is how large an entry may be to come early.
	earlyBytes = 16 << 10
)

// EntryHash is the place of an entry in the hash space, for HelloWanting.
func (r *Region) EntryHash(key string) uint64 { return r.store.key.entry(key, CellValue) }

// hurry decides which entries come first: those that the peer wants, then those that were written last here.
func (p *Pull) hurry() {
	p.hurried = true
	cells, recent := p.newest()
	room := wantedMax + recentMax
	if p.r.cfg.Small >= 0 {
		if cells < earlyMin {
			return
		}
		room = min(cells/earlyShare, room)
	}
	seen := map[uint64]bool{}
	add := func(e uint64) {
		if len(p.early) < room && !seen[e] {
			seen[e] = true
			p.early = append(p.early, e)
		}
	}
	for _, e := range p.peer.wanted {
		add(e)
	}
	for _, e := range recent {
		add(e)
	}
}

// newest counts the dots that the peer lacks, about, and lists the entries of the latest of them.
func (p *Pull) newest() (lacks int, entries []uint64) {
	r := p.r
	type late struct {
		hlc HLC
		e   uint64
	}
	var found []late
	var c cell
	for i := range r.origins {
		o := &r.origins[i]
		from := p.peer.Context.of(o.id).Base + 1
		lacks += o.index.from(&r.store, from)
		n := 0
		o.index.latest(&r.store, func(seq Seq, ref uint64) bool {
			if n++; seq < from || n > recentMax {
				return false
			}
			r.store.load(&c, ref)
			if k := c.sibling(tip{uint32(i), seq}); k >= 0 {
				found = append(found, late{c.sibs[k].hlc, c.at.e})
			}
			return true
		})
	}
	slices.SortFunc(found, func(a, b late) int { return cmp.Or(cmp.Compare(b.hlc, a.hlc), cmp.Compare(a.e, b.e)) })
	for _, f := range found[:min(len(found), recentMax)] {
		entries = append(entries, f.e)
	}
	return lacks, entries
}

// earlyChunk makes a chunk of the next entry that comes first, or nil. None does while there is a removal of the
// whole region that the peer does not know: its ghost is before everything.
func (p *Pull) earlyChunk() []byte {
	r := p.r
	for len(p.early) > 0 && !p.flushUntold() {
		at := span{pos{p.early[0], 0}, pos{p.early[0], ^uint64(0)}}
		p.early = p.early[1:]
		if _, end := p.peer.at(at.lo); end.less(at.hi) || r.pieceEnd(at.lo).less(at.hi) {
			continue
		}
		cells, _, ok := p.readable(p.openSpan(at))
		if ok && len(cells) > 0 {
			return p.encode(at.lo, at.hi, cells)
		}
	}
	p.early = nil
	return nil
}

func (p *Pull) flushUntold() bool {
	c := p.r.flushed()
	return c != nil && p.untold(c, nil)
}

// openSpan opens one entry, and gives the cells that the peer must join. Of a large entry it gives none.
func (p *Pull) openSpan(at span) []*cell {
	r := p.r
	theirs, _ := p.peer.at(at.lo)
	p.theirs, p.ours, p.queue, p.scopes = theirs, r.contextAt(at.lo), nil, nil
	p.full = !r.reachesFloors(theirs)
	var all, lacking []*cell
	size := 0
	flush := r.flushed()
	scoped := flush != nil && r.lacks(theirs, flush)
	p.taken = 0
	r.eachCell(at.lo, at.hi, func(x *cell) bool {
		c := p.keep(x)
		all = append(all, c)
		if r.lacks(theirs, c) {
			lacking = append(lacking, c)
			scoped = scoped || c.scopes()
		}
		size += c.size()
		return size <= earlyBytes
	})
	if size > earlyBytes {
		return nil
	}
	if scoped || p.full && !p.reconciled() {
		p.scopes, lacking = []span{at}, all
	}
	slices.SortFunc(lacking, compareCells) // two entries may share a hash
	return lacking
}

// lacks reports whether a replica that has seen c's dots up to ctx lacks one of them.
func (r *Region) lacks(ctx Context, c *cell) bool {
	for i := range c.sibs {
		if !ctx.Has(r.dot(c.sibs[i].tip)) {
			return true
		}
	}
	return slices.ContainsFunc(c.ghosts, func(t tip) bool { return !ctx.Has(r.dot(t)) })
}
