package crdt

// Covered is the share of the hash space, 0 to 1, in which the replica has seen all of c: how far a pull is from a peer that
// had seen c when it began.
func (r *Region) Covered(c Context) float64 {
	rest := r.beyondBase(c)
	if len(rest) == 0 {
		return 1
	}
	var share float64
	for _, x := range r.pieces {
		if x.covers(r, rest) {
			share += float64(x.hi.e-x.lo.e) / (1 << 64)
		}
	}
	return min(share, 1)
}

// covers reports whether all of c was seen in the piece.
func (x *piece) covers(r *Region, c Context) bool {
	for id, runs := range c {
		all := x.extra.of(id).Clone()
		if i, ok := r.numberOf(id); ok {
			all.Union(r.origins[i].runs)
		}
		if !all.Covers(runs) {
			return false
		}
	}
	return true
}
