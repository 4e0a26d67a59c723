package crdt

// Policy decides which values leave first. A Region tells it of every value in memory that may leave, by cell: what comes, what is read
// and what goes. Touch is called by readers side by side, the others as writers are. The package tiers/evict has five.
type Policy interface {
	// Insert takes a cell, by its id, with so many bytes of values. Its entry expires at a Unix time in seconds, or never at 0.
	// The number is the policy's own, below 1<<32-1, until Remove, or until it asks for the cell by Evict.
	Insert(id uint64, bytes int, expires int64) (slot uint32)
	// Touch notes a read.
	Touch(slot uint32)
	// Resize notes that the bytes changed.
	Resize(slot uint32, bytes int)
	// Remove forgets a cell.
	Remove(slot uint32)
}

// Govern tells a policy of all values from now on; Enlist of those that are there already. nil ends it. It has no effect where the region
// was given a Memory, or no Values.
func (r *Region) Govern(p Policy) {
	m := r.store.slabs
	if m == nil || r.cfg.Values == nil {
		return
	}
	if r.store.policy = p; p == nil {
		m.dropSlots()
	}
}

// Enlist tells the policy of the values of about most cells that are in memory already, from a place on, 0 for the first. It gives the
// place to go on from, 0 at the end.
func (r *Region) Enlist(from uint64, most int) (next uint64) {
	if r.store.policy == nil {
		return 0
	}
	n, last := 0, from
	r.store.eachEntry(from, func(e entry) bool {
		if n >= most && e.hash != last {
			next = e.hash
			return false
		}
		last = e.hash
		var c cell
		e.records(0, func(ref uint64) bool {
			n++
			if r.evictable(&c, e, ref) > 0 {
				r.keepCount(&c)
			}
			return true
		})
		return true
	})
	return next
}

// List tells the policy of the values of one cell that are in memory.
func (r *Region) List(id uint64) {
	if r.store.policy == nil {
		return
	}
	var c cell
	for _, ref := range r.store.withID(id) {
		if r.store.load(&c, ref); r.evictableIn(&c) > 0 {
			r.keepCount(&c)
		}
	}
}

// keepCount tells the policy what the record of a cell that was just written holds.
func (r *Region) keepCount(c *cell) {
	s := &r.store
	if s.policy == nil || c.ref == 0 {
		return
	}
	m := s.slabs
	n, slot := r.evictableIn(c), m.slot(c.ref)
	switch {
	case n > 0 && slot == 0:
		m.setSlot(c.ref, 1+s.policy.Insert(c.id(), n, s.entryAt(c.in).exp()/1000))
	case n > 0:
		s.policy.Resize(slot-1, n)
		s.policy.Touch(slot - 1)
	case slot != 0:
		s.policy.Remove(slot - 1)
		m.setSlot(c.ref, 0)
	}
}

// expires tells the policy anew of an entry's value, whose expiry changed.
func (r *Region) expires(in uint64) {
	s := &r.store
	if s.policy == nil || in == 0 {
		return
	}
	e := s.entryAt(in)
	var c cell
	if ref := e.record(CellValue, ""); ref != 0 && r.evictable(&c, e, ref) > 0 {
		s.loseSlot(ref)
		r.keepCount(&c)
	}
}

// touch notes that the value of a record was read.
func (s *store) touch(ref uint64) {
	if slot := s.slabs.slot(ref); slot != 0 {
		s.policy.Touch(slot - 1)
	}
}

// noSlot takes a record's slot away that the policy gives up itself.
func (s *store) noSlot(ref uint64) {
	if s.policy != nil {
		s.slabs.setSlot(ref, 0)
	}
}

// loseSlot has the policy forget a record.
func (s *store) loseSlot(ref uint64) {
	if s.policy == nil {
		return
	}
	m := s.slabs
	if slot := m.slot(ref); slot != 0 {
		s.policy.Remove(slot - 1)
		m.setSlot(ref, 0)
	}
}

// moveSlot gives a record's slot to the one that takes its place.
func (s *store) moveSlot(from, to uint64) {
	if s.policy == nil {
		return
	}
	m := s.slabs
	if slot := m.slot(from); slot != 0 {
		m.setSlot(from, 0)
		m.setSlot(to, slot)
	}
}
