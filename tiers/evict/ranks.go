package evict

import "sync/atomic"

// ranks keeps entries in a heap by rank, lowest first. Touches only ever raise a rank, and only in the entry: the heap has the
// rank of when it last looked, which is a lower bound. Whoever is on top with an old rank sinks to where it belongs; whoever
// is on top with its true rank is the lowest of all.
type ranks struct {
	ids   []uint64
	sizes []uint32 // dead: the entry was removed and waits in the heap
	rank  []uint32 // by slot; written by Touch
	heap  []ranked
	spare []Slot // slots that no entry has
	dead  int
	bytes int64
}

type ranked struct {
	rank uint32
	slot Slot
}

const dead = ^uint32(0)

func (r *ranks) insert(id uint64, size int, rank uint32) (s Slot) {
	if n := len(r.spare); n > 0 {
		s, r.spare = r.spare[n-1], r.spare[:n-1]
		r.ids[s], r.sizes[s], r.rank[s] = id, clip(size), rank
	} else {
		s = Slot(len(r.ids))
		r.ids, r.sizes, r.rank = grow(r.ids, id), grow(r.sizes, clip(size)), grow(r.rank, rank)
	}
	r.bytes += int64(r.sizes[s])
	r.heap = grow(r.heap, ranked{rank, s})
	r.up(len(r.heap) - 1)
	return s
}

// Len counts entries.
func (r *ranks) Len() int { return len(r.heap) - r.dead }

// Bytes is the sum of their sizes.
func (r *ranks) Bytes() int64 { return r.bytes }

// Overhead counts what is allocated, used or not.
func (r *ranks) Overhead() int64 {
	return int64(cap(r.ids)*8 + cap(r.sizes)*4 + cap(r.rank)*4 + cap(r.heap)*8 + cap(r.spare)*4)
}

// Resize notes that an entry's size changed.
func (r *ranks) Resize(s Slot, size int) {
	r.bytes += int64(clip(size)) - int64(r.sizes[s])
	r.sizes[s] = clip(size)
}

// Remove leaves the entry in the heap. When half of that is dead, it is built anew.
func (r *ranks) Remove(s Slot) {
	r.bytes -= int64(r.sizes[s])
	r.sizes[s] = dead
	if r.dead++; r.dead > len(r.heap)/2+16 {
		r.rebuild()
	}
}

// rebuild drops the dead and takes all ranks as they are now.
func (r *ranks) rebuild() {
	live := r.heap[:0]
	for _, e := range r.heap {
		if r.sizes[e.slot] == dead {
			r.spare = grow(r.spare, e.slot)
			continue
		}
		live = append(live, ranked{r.rank[e.slot], e.slot})
	}
	r.heap, r.dead = live, 0
	for i := len(r.heap)/2 - 1; i >= 0; i-- {
		r.down(i)
	}
}

func (r *ranks) Victims(bytes int64, evict func(id uint64, size int) bool) (freed int64) {
	var kept []ranked
	for freed < bytes && len(r.heap) > 0 {
		e := r.lowest()
		if r.sizes[e.slot] == dead {
			r.pop()
			r.dead--
			r.spare = grow(r.spare, e.slot)
			continue
		}
		r.pop()
		size := r.sizes[e.slot]
		if !evict(r.ids[e.slot], int(size)) {
			kept = append(kept, e)
			continue
		}
		freed += int64(size)
		r.bytes -= int64(size)
		r.sizes[e.slot] = dead
		r.spare = grow(r.spare, e.slot)
	}
	for _, e := range kept {
		r.heap = append(r.heap, e)
		r.up(len(r.heap) - 1)
	}
	return freed
}

// lowest gives the first of the heap, once it is dead or has its true rank.
func (r *ranks) lowest() ranked {
	for {
		e := &r.heap[0]
		now := atomic.LoadUint32(&r.rank[e.slot])
		if e.rank == now || r.sizes[e.slot] == dead {
			return *e
		}
		e.rank = now
		r.down(0)
	}
}

func (r *ranks) pop() {
	last := len(r.heap) - 1
	r.heap[0] = r.heap[last]
	r.heap = r.heap[:last]
	r.down(0)
}

// less breaks ties by slot, so that runs replay.
func (a ranked) less(b ranked) bool { return a.rank < b.rank || a.rank == b.rank && a.slot < b.slot }

func (r *ranks) up(i int) {
	for i > 0 && r.heap[i].less(r.heap[(i-1)/2]) {
		r.heap[i], r.heap[(i-1)/2] = r.heap[(i-1)/2], r.heap[i]
		i = (i - 1) / 2
	}
}

func (r *ranks) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(r.heap); c++ {
			if r.heap[c].less(r.heap[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		r.heap[i], r.heap[least] = r.heap[least], r.heap[i]
		i = least
	}
}
