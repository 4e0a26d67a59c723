package crdt

import "slices"

// originsFew is up to how many origins are looked for one by one: a region of few writers needs no map of them, and a node may have
// thousands of such regions.
const originsFew = 8

// numberOf finds the origin's small integer in this region.
func (r *Region) numberOf(id Origin) (uint32, bool) {
	if r.byID != nil {
		i, ok := r.byID[id]
		return i, ok
	}
	for i := range r.origins {
		if r.origins[i].id == id && (id != Origin{} || !slices.Contains(r.aside().free, uint32(i))) {
			return uint32(i), true
		}
	}
	return 0, false
}

// enrol notes it, once the origin is there.
func (r *Region) enrol(id Origin, i uint32) {
	if r.byID == nil {
		if len(r.origins) <= originsFew {
			return
		}
		r.byID = make(map[Origin]uint32, 2*originsFew)
		for k := range r.origins {
			if !slices.Contains(r.aside().free, uint32(k)) {
				r.byID[r.origins[k].id] = uint32(k)
			}
		}
	}
	r.byID[id] = i
}

// known is how many origins there are.
func (r *Region) known() int { return len(r.origins) - len(r.aside().free) }
