package crdt

// This file holds what the mutants of pulls do instead of the rule, so that the rules' own code stays plain.

// staleCut is the context that MutantStaleCut tells with a chunk: the one of the session's start, and the dots
// that the chunk brings. The puller lacks what the sender learnt since and no longer holds.
func (p *Pull) staleCut(cells []*cell) Context {
	if p.start == nil {
		p.start = p.r.Context()
	}
	cut := p.start.Clone()
	cut.Union(p.r.pieceAt(p.at))
	for _, c := range cells {
		for i := range c.sibs {
			cut.addDot(p.r.dot(c.sibs[i].tip))
		}
		for _, g := range c.ghosts {
			cut.addDot(p.r.dot(g))
		}
	}
	return cut
}

func (c Context) addDot(d Dot) {
	runs := c[d.Origin]
	runs.Add(d.Seq)
	c[d.Origin] = runs
}

// claimBrought is what MutantNoRangeCut does with a chunk's context: it keeps the dots that came, and the context only
// at the end. What those dots covered may then come again, as a late push.
func (r *Region) claimBrought(c *chunk, cut Context) {
	for i := range c.cells {
		for _, t := range c.cells[i].tips {
			r.claim(tip{r.intern(t.dot.Origin), t.dot.Seq})
		}
	}
	if c.last {
		r.claimAll(cut)
	}
	r.version++
	r.metaDirty = true
}
