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
func (r *Region) EntryHash(key string) uint64 { return r.key.entry(key, CellValue) }

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
	for i := range r.origins {
		o := &r.origins[i]
		x := &o.index
		x.sort()
		runs := p.peer.Context.of(o.id)
		from, _ := slices.BinarySearchFunc(x.ents, runs.Base+1, func(e dotEnt, s Seq) int { return cmp.Compare(e.seq, s) })
		lacks += len(x.ents) - from
		for _, e := range x.ents[max(from, len(x.ents)-recentMax):] {
			if k := e.c.sibling(tip{uint32(i), e.seq}); !e.c.gone && k >= 0 {
				found = append(found, late{e.c.sibs[k].hlc, e.c.e.hash})
			}
		}
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
	for len(p.early) > 0 && !slices.ContainsFunc(r.scopes, func(c *cell) bool { return p.untold(c, nil) }) {
		at := span{pos{p.early[0], 0}, pos{p.early[0], ^uint64(0)}}
		p.early = p.early[1:]
		if _, end := p.peer.at(at.lo); end.less(at.hi) || r.pieceEnd(at.lo).less(at.hi) {
			continue
		}
		if cells := p.openSpan(at); len(cells) > 0 {
			return p.encode(at.lo, at.hi, cells)
		}
	}
	p.early = nil
	return nil
}

// openSpan opens one entry, and gives the cells that the peer must join. Of a large entry it gives none.
func (p *Pull) openSpan(at span) []*cell {
	r := p.r
	theirs, _ := p.peer.at(at.lo)
	p.theirs, p.ours, p.queue, p.scopes = theirs, r.contextAt(at.lo), nil, nil
	p.full = !r.reachesFloors(theirs)
	var all, lacking []*cell
	size := 0
	scoped := slices.ContainsFunc(r.scopes, func(c *cell) bool { return r.lacks(theirs, c) })
	r.eachCell(at.lo, at.hi, func(c *cell) bool {
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
