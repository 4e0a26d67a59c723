package crdt

// Ghosts are remembered so that a pull by intervals carries removes. They may be forgotten at any time:
// the floor rises with them, and a peer that has not seen the floor compares live dots instead.

// Prune forgets the ghosts of origin up to number upto and raises its floor (rule 3).
func (r *Region) Prune(origin Origin, upto Seq) { r.PruneRange(origin, 0, upto) }

// PruneRange is Prune in parts: of the ghosts of origin it forgets those numbered above from and up to upto, and looks at no
// others, so that a caller who goes on from where it stopped holds the region for a short time only. Ghosts below the
// floor, which a reconciliation may have raised over them, go as well.
func (r *Region) PruneRange(origin Origin, from, upto Seq) {
	i, ok := r.numberOf(origin)
	if !ok {
		return
	}
	o := &r.origins[i]
	if !o.below {
		upto = min(upto, o.runs.Base)
	} else {
		upto = min(upto, max(o.runs.Base, o.index.last(&r.store)))
	}
	var cells []pos
	o.index.each(&r.store, from+1, func(seq Seq, ref uint64) bool {
		if seq <= upto && r.store.isGhost(ref, tip{i, seq}) {
			cells = append(cells, r.store.posOf(ref))
		}
		return seq <= upto
	})
	r.store.rewriteCells(cells, func(c *cell) { r.dropGhosts(c, i, upto) })
	if len(cells) > 0 && r.cfg.Mutant != MutantSilentPrune {
		r.raiseFloor(i, upto)
		r.pruned++ // also where the floor was there before: an offer may have named these cells for their ghosts
	}
}

func (r *Region) raiseFloor(i uint32, upto Seq) {
	if o := &r.origins[i]; upto > o.floor {
		o.floor, o.dirty = upto, true
		r.pruned++
	}
}

func (r *Region) dropGhosts(c *cell, org uint32, upto Seq) {
	n := len(c.ghosts)
	r.change(c, func() {
		r.dropWhere(c, nil, func(g tip) bool { return g.org == org && g.seq <= upto })
	})
	r.stats.GhostsPruned += uint64(n - len(c.ghosts))
}

// raiseFloors takes over the floors of a peer whose live dots we compare ours with: what it has pruned
// we will never be able to tell others.
func (r *Region) raiseFloors(floors map[Origin]Seq) {
	for id, f := range floors {
		if _, known := r.numberOf(id); !known && r.below(id) {
			id, f = id.Line(), Seq(id.Number())+1
		}
		r.raiseFloor(r.intern(id), f)
	}
}

// pruned reports whether who has these floors may have forgotten the ghost d.
func pruned(floors map[Origin]Seq, d Dot) bool {
	return d.Seq <= floors[d.Origin] || !d.Origin.IsLine() && Seq(d.Origin.Number()) < floors[d.Origin.Line()]
}

// Forgotten reports whether the ghost d, if there was one, may be forgotten here.
func (r *Region) Forgotten(d Dot) bool {
	if i, ok := r.numberOf(d.Origin); ok && d.Seq <= r.origins[i].floor {
		return true
	}
	i, ok := r.numberOf(d.Origin.Line())
	return ok && Seq(d.Origin.Number()) < r.origins[i].floor
}

// pruneToBudget forgets the oldest ghosts of the origins that have most, down to half the budget.
func (r *Region) pruneToBudget() {
	if !r.OverBudget() {
		return
	}
	keep := min(1, float64(r.cfg.MaxGhosts/2)/float64(r.ghosts))
	if limit := r.cfg.MaxGhostBytes; limit > 0 {
		keep = min(keep, float64(limit/2)/float64(max(1, r.store.use[forGhost])))
	}
	for i := range r.origins {
		seqs := r.ghostSeqs(uint32(i))
		if n := len(seqs) - int(float64(len(seqs))*keep); n > 0 {
			r.Prune(r.origins[i].id, seqs[n-1])
		}
	}
}

// ghostSeqs lists the ghosts of one origin, oldest first.
func (r *Region) ghostSeqs(org uint32) []Seq {
	var out []Seq
	r.origins[org].index.each(&r.store, 0, func(seq Seq, ref uint64) bool {
		if r.store.isGhost(ref, tip{org, seq}) {
			out = append(out, seq)
		}
		return true
	})
	return out
}

// isGhost reports whether a dot of the record's cell is a ghost.
func (s *store) isGhost(ref uint64, t tip) bool {
	p := unpack(s.mem.Bytes(ref))
	switch p.flags & bodyMask {
	case bodySibling, bodyAway:
		return false
	case bodyGhost:
		return true
	}
	var c cell
	p.decode(&c)
	return c.sibling(t) < 0
}

// Tick does what time makes due: it removes expired entries and forgets ghosts beyond the budget. It
// reports whether more is due at once.
func (r *Region) Tick(now int64) (more bool) {
	more = r.sweep(now)
	r.absorbResets(now)
	r.pruneToBudget()
	return more
}
