package crdt

import "slices"

// A pull that comes in chunks leaves a replica that has seen more in one part of the hash space than in
// another. A piece says so: in [lo, hi] the context is the region's plus extra. Every dot belongs to
// one cell, so each piece is a small replica of its own, each chunk is one atomic pull of it, and
// the rules for whole pulls hold within. There is no start cut to claim at the end and no
// per-key cut to keep; a session that breaks off leaves pieces, and the next one, with whichever peer,
// goes on from them. When the pieces cover the whole space, what all have in common joins the
// region's context.
type piece struct {
	lo, hi pos
	extra  Context
}

// pieceAt is the extra context at p, nil where there is none.
func (r *Region) pieceAt(p pos) Context { return pieceIn(r.pieces, p) }

func pieceIn(in []piece, p pos) Context {
	i, ok := slices.BinarySearchFunc(in, p, func(x piece, p pos) int {
		switch {
		case x.hi.less(p):
			return -1
		case p.less(x.lo):
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return in[i].extra
}

// pieceEnd is the last position after p that shares p's context.
func (r *Region) pieceEnd(p pos) pos {
	for _, x := range r.pieces {
		if p.less(x.lo) {
			return before(x.lo)
		}
		if !x.hi.less(p) {
			return x.hi
		}
	}
	return posMax
}

func before(p pos) pos {
	if p.c--; p.c == ^uint64(0) {
		p.e--
	}
	return p
}

// raise adds cut to the context of [lo, hi].
func (r *Region) raise(lo, hi pos, cut Context) {
	r.version++
	r.metaDirty = true
	if lo == posMin && hi == posMax {
		r.claimAll(cut)
		r.trimPieces()
		return
	}
	cut = r.beyondBase(cut)
	var out []piece
	at, open := lo, true // at: where the uncovered rest of [lo, hi] begins
	fill := func(to pos) {
		if open && !to.less(at) {
			out = append(out, piece{at, to, cut.Clone()})
		}
	}
	for _, x := range r.pieces {
		if x.hi.less(lo) || hi.less(x.lo) {
			if open && hi.less(x.lo) {
				fill(hi)
				open = false
			}
			out = append(out, x)
			continue
		}
		if x.lo.less(lo) {
			out = append(out, piece{x.lo, before(lo), x.extra})
		}
		if at.less(x.lo) {
			fill(before(x.lo))
		}
		from, to := maxPos(x.lo, lo), minPos(x.hi, hi)
		both := x.extra.Clone()
		both.Union(cut)
		out = append(out, piece{from, to, both})
		if at = to.next(); to == hi {
			open = false
		}
		if hi.less(x.hi) {
			out = append(out, piece{hi.next(), x.hi, x.extra})
		}
	}
	fill(hi)
	r.mergePieces(out)
}

func maxPos(a, b pos) pos {
	if a.less(b) {
		return b
	}
	return a
}

func minPos(a, b pos) pos {
	if a.less(b) {
		return a
	}
	return b
}

// beyondBase keeps only the origins of which c has seen more than the region has.
func (r *Region) beyondBase(c Context) Context {
	out := Context{}
	for id, runs := range c {
		if !r.covers(id, runs) {
			out[id] = runs
		}
	}
	return out
}

func (r *Region) claimAll(c Context) {
	raised := false
	for _, id := range c.Origins() {
		runs := c[id]
		if r.below(id) {
			continue
		}
		o := &r.origins[r.intern(id)]
		if !o.runs.Covers(runs) {
			o.runs.Union(runs.Clone())
			o.dirty = true
			raised = raised || id.IsLine()
		}
	}
	if raised {
		r.markBelow()
	}
}

// trimPieces drops what pushes have made known everywhere.
func (r *Region) trimPieces() {
	said := extras(r.pieces)
	if said == 0 {
		return
	}
	for i := range r.pieces {
		r.pieces[i].extra = r.beyondBase(r.pieces[i].extra)
	}
	r.mergePieces(r.pieces)
	if extras(r.pieces) != said {
		r.metaDirty = true
	}
}

// extras counts the origins that the pieces speak of.
func extras(ps []piece) (n int) {
	for _, x := range ps {
		n += len(x.extra)
	}
	return n
}

// canonicalPieces are the pieces in a form that depends only on what was seen where, not on how it came: each
// extra holds all that was seen of its origins, and neighbours differ.
func (r *Region) canonicalPieces() []piece {
	var out []piece
	for _, x := range r.pieces {
		all := r.beyondBase(x.extra).Clone()
		for id, runs := range all {
			if i, ok := r.numberOf(id); ok {
				runs.Union(r.origins[i].runs)
				all[id] = runs
			}
		}
		out = appendPiece(out, piece{x.lo, x.hi, all})
	}
	return out
}

// appendPiece drops a piece that says nothing, and joins one that says the same as its neighbour.
func appendPiece(out []piece, x piece) []piece {
	n := len(out)
	switch {
	case len(x.extra) == 0:
		return out
	case n > 0 && out[n-1].hi.next() == x.lo && out[n-1].extra.Equal(x.extra):
		out[n-1].hi = x.hi
		return out
	}
	return append(out, x)
}

// mergePieces joins neighbours that say the same, drops those that say nothing, and moves what the
// whole space has in common into the region's context.
func (r *Region) mergePieces(in []piece) {
	var out []piece
	for _, x := range in {
		out = appendPiece(out, x)
	}
	r.pieces = out
	if !wholeSpace(out) {
		return
	}
	common := out[0].extra
	for _, x := range out[1:] {
		common = common.Intersect(x.extra)
	}
	if len(common) == 0 {
		return
	}
	r.claimAll(common)
	for i := range out {
		out[i].extra = r.beyondBase(out[i].extra)
	}
	r.pieces = slices.DeleteFunc(out, func(x piece) bool { return len(x.extra) == 0 })
}

func wholeSpace(ps []piece) bool {
	at := posMin
	for i, x := range ps {
		if x.lo != at {
			return false
		}
		if x.hi == posMax {
			return i == len(ps)-1
		}
		at = x.hi.next()
	}
	return false
}
