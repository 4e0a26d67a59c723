package offheap

import (
	"cmp"
	"slices"
)

// Objects do not move by themselves, since only their owner knows who holds their Refs. To empty slabs that few objects keep alive:
//
//	p.MarkSparse(0.5)
//	for each Ref that the owner holds, at its own pace:
//	    if p.Sparse(ref) { copy it to a new Alloc, put the new Ref in its place, Free(ref) }
//	p.UnmarkSparse()
//
// Alloc does not use marked slabs, and each goes back to the heap with its last object.

// MarkSparse marks slabs of which less than the given part is used, the emptiest first, as far as the other slabs of their
// class have room for what they hold. It tells how many bytes return when all marked objects have moved.
func (p *Pool) MarkSparse(fill float64) (bytes int64) {
	for i := range p.bins {
		b := &p.bins[i]
		candidates, room := b.candidates(fill)
		for _, s := range candidates {
			// The marked slab's free slots are lost to others, and its used ones are needed there.
			if room -= int(s.slots); room < 0 {
				break
			}
			b.move(s, sparse)
			bytes += int64(blockBytes(s.order))
		}
	}
	return bytes
}

// candidates lists the slabs with few objects, fewest first, and counts the free slots of all.
func (b *bin) candidates(fill float64) (found []*slab, room int) {
	for place := b.head[partial]; place != 0; {
		s := b.at(place)
		room += int(s.slots - s.used)
		if s.used > 0 && float64(s.used) < fill*float64(s.slots) {
			found = append(found, s)
		}
		place = s.next
	}
	slices.SortStableFunc(found, func(x, y *slab) int {
		return cmp.Compare(int(x.used)*int(y.slots), int(y.used)*int(x.slots))
	})
	return found, room
}

// Sparse reports whether an object lies in a marked slab.
func (p *Pool) Sparse(ref Ref) bool {
	return ref>>addrBits != 0 && slabAt(p.slabOf(ref)).list == sparse
}

// UnmarkSparse lets Alloc use the slabs again that are still marked.
func (p *Pool) UnmarkSparse() {
	for i := range p.bins {
		b := &p.bins[i]
		for b.head[sparse] != 0 {
			b.move(b.at(b.head[sparse]), partial)
		}
	}
}
