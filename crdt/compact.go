package crdt

import (
	"cmp"
	"slices"
)

// Values leave in the order that a policy likes, which after a while leaves chunks with a few records each. Compact moves those to the
// free slots of other chunks of their size, so that whole chunks go. It knows records by the policy's numbers, and leaves chunks alone that hold
// anything else.

// sparseShare: a chunk is worth emptying when less of its slots than that, in percent, are in use.
const sparseShare = 80

// Compact empties sparse chunks until it has moved about so many bytes, and tells how many bytes went. It needs a Policy.
func (r *Region) Compact(most int) (freed int64) {
	m, ok := r.store.mem.(*slabs)
	if !ok || r.store.policy == nil {
		return 0
	}
	before, moved := m.worn, 0
	for _, i := range m.sparse() {
		if moved >= most {
			break
		}
		moved += r.empty(m, i)
	}
	return before - m.worn
}

// sparse lists the chunks that are worth emptying and whose records fit in other chunks of their size.
func (m *slabs) sparse() (out []uint32) {
	var room [slabSizes]int // free slots of chunks that stay
	var few []uint32
	for i := range m.chunks {
		c := &m.chunks[i]
		if c.b == nil || c.kind == kindAlone {
			continue
		}
		slots := len(c.b) / int(c.size)
		if room[c.kind] += slots - int(c.live); c.live > 0 && int(c.live)*100 < slots*sparseShare && m.onlyTagged(i) {
			few = append(few, uint32(i))
		}
	}
	share := func(i uint32) float64 {
		c := &m.chunks[i]
		return float64(c.live) * float64(c.size) / float64(len(c.b))
	}
	slices.SortStableFunc(few, func(a, b uint32) int { return cmp.Compare(share(a), share(b)) })
	for _, i := range few {
		c := &m.chunks[i]
		if left := room[c.kind] - (len(c.b)/int(c.size) - int(c.live)); left >= int(c.live) {
			room[c.kind] = left - int(c.live)
			out = append(out, i)
		}
	}
	return out
}

// onlyTagged reports whether all that is in use are records that the policy knows.
func (m *slabs) onlyTagged(i int) bool {
	n := 0
	for _, t := range m.tagsOf(uint64(i)) {
		if t != 0 {
			n++
		}
	}
	return n == int(m.chunks[i].live)
}

// empty moves all records out of a chunk, which then goes.
func (r *Region) empty(m *slabs, i uint32) (moved int) {
	m.shut(i)
	size := m.chunks[i].size
	tags := m.tagsOf(uint64(i))
	for k := range tags {
		if tags[k] == 0 {
			continue
		}
		moved += r.relocate(uint64(i)<<slabOffBits | uint64(uint32(k)*size/slabGrain))
	}
	if m.chunks[i].shut { // something came to be there that the policy does not know
		m.open(i)
	}
	return moved
}

// sweepShare: a chunk of whatever records is worth emptying when less of its slots than that, in percent, are in use. What is moved then
// fits twice in what becomes free.
const sweepShare = 50

// Sweep empties sparse chunks whatever records they hold, which takes a walk through the region: about most records from a place on, 0 for the
// first. It gives the place to go on from, 0 at the end. Heads and tables stay where they are, and so do their chunks.
func (r *Region) Sweep(from uint64, most int) (next uint64) {
	m, ok := r.store.mem.(*slabs)
	if !ok {
		return 0
	}
	if from == 0 {
		m.reopen() // what a walk left that did not end
		m.shutSparse()
		r.sweepLeaves(m)
	}
	var refs []uint64
	n, last := 0, from
	r.store.eachEntry(from, func(e entry) bool {
		if n >= most && e.hash != last {
			next = e.hash
			return false
		}
		last = e.hash
		e.records(0, func(ref uint64) bool {
			if n++; m.chunks[ref>>slabOffBits].shut {
				refs = append(refs, ref)
			}
			return true
		})
		return true
	})
	for _, ref := range refs {
		if r.store.mem.Bytes(ref)[0]&formMask != formHead {
			r.relocate(ref)
		}
	}
	if next == 0 {
		m.reopen()
	}
	return next
}

func (m *slabs) shutSparse() {
	for i := range m.chunks {
		c := &m.chunks[i]
		slots := len(c.b) / max(int(c.size), 1)
		if c.b != nil && c.kind != kindAlone && int(c.used) == slots && int(c.live)*100 < slots*sweepShare {
			m.shut(uint32(i))
		}
	}
}

// reopen lets what was not emptied be filled again.
func (m *slabs) reopen() {
	for i := range m.chunks {
		if m.chunks[i].shut {
			m.open(uint32(i))
		}
	}
}

func (m *slabs) open(i uint32) {
	c := &m.chunks[i]
	if c.shut = false; c.hasRoom() {
		m.link(m.sizeFor(c.kind), i)
	}
}

// sweepLeaves moves the leaves of dot indexes.
func (r *Region) sweepLeaves(m *slabs) {
	for i := range r.origins {
		r.origins[i].index.settle(&r.store)
		for k := range r.origins[i].index.leaves {
			l := &r.origins[i].index.leaves[k]
			if m.chunks[l.ref>>slabOffBits].shut {
				l.resize(&r.store, len(m.Bytes(l.ref))/dotBytes)
			}
		}
	}
}

// relocate gives a record, solo or part, another place.
func (r *Region) relocate(from uint64) (bytes int) {
	s := &r.store
	var c cell
	s.load(&c, from)
	old := s.mem.Bytes(from)
	s.epoch++
	c.epoch = s.epoch
	ref, b := s.alloc(purposeOf(old), len(old))
	copy(b, old)
	c.ref = ref
	r.moved(&c, from)
	s.moveSlot(from, ref)
	s.drop(from)
	return len(old)
}
