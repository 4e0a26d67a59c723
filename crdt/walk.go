package crdt

import "slices"

// Where a peer lacks most of a range, or below a floor must compare all of it, a queue of cells would be about the
// region once more, and making it would hold the region for long. The cells are then looked up chunk by chunk.

const (
	// walkMin is how many dots a peer must lack for a walk.
	walkMin = 1 << 13
	// walkShare: and at least one in so many.
	walkShare = 4
	// walkCells bounds the cells that are looked at for one chunk.
	walkCells = 1 << 15
)

// mostlyLacking reports whether a replica that has seen ctx lacks so much that a walk costs less than a queue.
func (r *Region) mostlyLacking(ctx Context) bool {
	n := 0
	for i := range r.origins {
		o := &r.origins[i]
		runs := ctx.of(o.id)
		above := o.index.from(&r.store, runs.Base+1)
		n += above - int(min(runs.Count()-uint64(runs.Base), uint64(above)))
	}
	return (n >= walkMin || r.cfg.Small < 0) && n*walkShare >= r.live
}

// openWalk finds which scopes reach into the range from before it: those that begin in it are met on the way.
func (p *Pull) openWalk(list bool) {
	r := p.r
	if list {
		p.scope(span{p.at, p.end})
		return
	}
	if c := r.flushed(); c != nil && r.lacks(p.theirs, c) {
		p.scope(scopeOf(c))
	}
	if p.at.c > 0 {
		start := pos{p.at.e, 0}
		r.eachCell(start, start, func(c *cell) bool {
			if c.scopes() && r.lacks(p.theirs, c) {
				p.scope(scopeOf(c))
			}
			return true
		})
	}
}

// gatherWalking is gather without a queue.
func (p *Pull) gatherWalking(maxBytes int) (cells []*cell, hi pos) {
	r := p.r
	p.scopes = slices.DeleteFunc(p.scopes, func(s span) bool { return s.hi.less(p.at) })
	p.taken = 0
	var last pos
	size, looked, stopped := 0, 0, false
	r.eachCell(p.at, p.end, func(c *cell) bool {
		at := c.pos()
		if stopped = (size >= maxBytes || looked >= walkCells) && last.less(at) && (at.e != last.e || !r.twins(at.e)); stopped {
			return false
		}
		last = at
		looked++
		lacks := r.lacks(p.theirs, c)
		if lacks && c.scopes() {
			p.scope(scopeOf(c))
		}
		if lacks || p.inScope(at) {
			cells = append(cells, p.keep(c))
			size += c.size()
		}
		return true
	})
	slices.SortFunc(cells, compareCells) // two entries may share a hash
	if stopped {
		return cells, last
	}
	return cells, p.end
}

// twins reports whether several entries have the hash: their cells lie between each other.
func (r *Region) twins(h uint64) bool {
	n := 0
	r.store.entries.alike(h, func(ref uint64) bool {
		if r.store.entryAt(ref).hash == h {
			n++
		}
		return n < 2
	})
	return n > 1
}

// inScope reports whether the peer must join every cell at at. Scopes are met in order: the first may be the whole
// range, and of the others only the last can still reach here.
func (p *Pull) inScope(at pos) bool {
	n := len(p.scopes)
	return n > 0 && (p.scopes[0].holds(at) || p.scopes[n-1].holds(at))
}

func (s span) holds(at pos) bool { return !at.less(s.lo) && !s.hi.less(at) }
