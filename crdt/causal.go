package crdt

// In a causal region a replica never shows a write before what the write comes after: all that its writer had seen of the
// region ("causal+ consistency": Lloyd et al., "Don't Settle for Eventual", 2011). A pushed message tells what the
// writes in it come after, as a change against the message before it from the same origin; it is merged whole, in the
// order of its origin, once all of that was seen, and waits or is left to a pull until then. So the writes of one
// message become visible together.
//
//	o: w1 ─ message {w1}        after {p:3}
//	o: w2, w3 ─ message {w2 w3} after {p:5}    (p:4, p:5 came between)
//
// A pull in chunks brings one part of the hash space further than the rest, which would show. Drivers therefore merge
// the chunks of a causal region's pull together, as the sender made them together. Where that is too much, the region
// is Loading until the pull is complete: it must not be read, and only who is loading too may pull from it.

// past is what the last local write comes after.
type past struct {
	ctx     Context // without our own writes
	told    Context // what messages have said of it
	version uint64  // of the region when ctx was taken
}

// note takes down what the replica has seen, be it in a part of the space, unless it has seen nothing new since.
func (p *past) note(r *Region) {
	if p.ctx != nil && p.version == r.version {
		return
	}
	p.ctx = r.Context()
	for _, x := range r.pieces {
		p.ctx.Union(x.extra)
	}
	delete(p.ctx, r.origin)
}

// news gives what messages have not said yet.
func (p *past) news() Context {
	out := Context{}
	for id, runs := range p.ctx {
		if !p.told[id].Equal(runs) {
			out[id] = runs
		}
	}
	if p.told = p.ctx; p.told == nil {
		p.told = Context{}
	}
	return out
}

// wholeUpTo gives the largest number of writes, n at most, of which none is folded into one that comes after them: a
// message of these would show the others without it.
func wholeUpTo(ops []outOp, n int) int {
	first := Seq(maxSeq)
	for i := len(ops) - 1; i >= 0; i-- {
		if i < n && first > ops[i].seq {
			return i + 1
		}
		if f := ops[i].folded; len(f) > 0 {
			first = min(first, f[0].Lo)
		}
	}
	return 0
}

// SetCausal switches Config.Causal. Writes that were not pushed yet are left to a pull.
func (r *Region) SetCausal(on bool) {
	if r.causal != on {
		r.causal = on
		r.out = nil
	}
}

// Causal reports Config.Causal.
func (r *Region) Causal() bool { return r.causal }

// Loading reports that a causal region has merged a part of a pull: readers would see writes before what they come after.
func (r *Region) Loading() bool { return r.causal && len(r.pieces) > 0 }

// pushCausally merges a message whole, or keeps it back whole.
func (r *Region) pushCausally(d *delta, now int64) (applied bool) {
	switch r.tryGroup(d, now) {
	case opApplied:
		return true
	case opEarly:
		if d.causal && !d.absent() {
			size := 64 + 24*len(d.after)
			for i := range d.ops {
				size += d.ops[i].size()
			}
			r.keep(waiter{group: d, size: size})
		} else { // its writer did not know that the region is causal, or a write is too large to push
			r.waitNothing(Dot{d.origin, d.top()})
		}
	}
	return false
}

func (d *delta) absent() bool {
	for i := range d.ops {
		if d.ops[i].absent {
			return true
		}
	}
	return false
}

// tryGroup merges a message if all that it comes after was seen.
func (r *Region) tryGroup(d *delta, now int64) opResult {
	if r.covers(d.origin, Runs{Base: d.top()}) {
		r.stats.PushOld += uint64(len(d.ops))
		return opSeen
	}
	if !r.follows(d) {
		return opEarly
	}
	for i := range d.ops {
		if r.tryOp(&d.ops[i], now) == opEarly { // what it covers was seen before it was written
			r.wait(d.ops[i])
		}
	}
	return opApplied
}

// follows reports whether everything before a message was seen here.
func (r *Region) follows(d *delta) bool {
	if !d.causal || d.absent() || !r.Covers(d.after) || r.Loading() {
		return false
	}
	var base Seq
	if i, ok := r.numberOf(d.origin); ok {
		base = r.origins[i].runs.Base
	} else if r.known() >= MaxOrigins {
		return false
	}
	return base+1 >= d.first
}
