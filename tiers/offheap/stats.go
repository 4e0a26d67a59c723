package offheap

// Usage counts bytes: requested ≤ used ≤ reserved.
type Usage struct {
	Requested int64 // what callers asked for
	Used      int64 // the slots and mappings that hold it
	Reserved  int64 // the slabs and mappings that those are in
}

func (u *Usage) add(v Usage) {
	u.Requested += v.Requested
	u.Used += v.Used
	u.Reserved += v.Reserved
}

// Fragmentation is the part of reserved bytes that nobody asked for, from 0 to 1.
func (u Usage) Fragmentation() float64 {
	if u.Reserved == 0 {
		return 0
	}
	return 1 - float64(u.Requested)/float64(u.Reserved)
}

// Purpose says what the pool is for.
func (p *Pool) Purpose() Purpose { return p.purpose }

// Usage may be called at any time. Its numbers are exact, each at its own instant: while a writer runs they may be of different ones.
func (p *Pool) Usage() Usage {
	return Usage{Requested: p.requested.Load(), Used: p.used.Load(), Reserved: p.reserved.Load()}
}

// HeapStats is what all pools hold, and what lies between them and the system.
type HeapStats struct {
	Purposes  [purposes]Usage
	Total     Usage
	Pools     int
	Mapped    int64 // chunks and mappings
	Large     int64 // of these, mappings of single objects
	Free      int64 // in chunks, not given to pools
	Discarded int64 // of these, without memory behind them
}

// Stats sums the pools: O(pools), some 10 ns each. Reserved is the cheap number, and the one that budgets are about.
func (h *Heap) Stats() HeapStats {
	var st HeapStats
	h.mu.Lock()
	st.Pools = len(h.pools)
	for _, p := range h.pools {
		st.Purposes[p.purpose].add(p.Usage())
	}
	h.mu.Unlock()
	for _, u := range st.Purposes {
		st.Total.add(u)
	}
	st.Large = h.large.Load()
	st.Mapped = st.Large
	for _, a := range h.arenas {
		a.mu.Lock()
		st.Mapped += a.mapped
		st.Free += a.freeBytes
		st.Discarded += a.discarded
		a.mu.Unlock()
	}
	return st
}

// ClassStats is what a pool holds in one size class.
type ClassStats struct {
	SlotBytes int
	Slabs     int
	Empty     int // slabs kept for the next Alloc
	Slots     int
	Used      int // slots
	Reserved  int64
}

// Fill is the part of the reserved bytes that used slots take, from 0 to 1.
func (c ClassStats) Fill() float64 {
	return float64(c.Used*c.SlotBytes) / float64(max(1, c.Reserved))
}

// Classes lists the size classes that the pool uses, smallest first. It walks the slabs, under the writer's lock.
func (p *Pool) Classes() []ClassStats {
	var all []ClassStats
	for class, i := range p.slot {
		if i == 0 || len(p.bins[i-1].slabs) == 0 {
			continue
		}
		b := &p.bins[i-1]
		st := ClassStats{SlotBytes: int(classBytes[class]), Slabs: len(b.slabs), Reserved: b.reserved()}
		for _, addr := range b.slabs {
			st.count(slabAt(addr))
		}
		all = append(all, st)
	}
	return all
}

func (c *ClassStats) count(s *slab) {
	c.Slots += int(s.slots)
	c.Used += int(s.used)
	if s.used == 0 {
		c.Empty++
	}
}
