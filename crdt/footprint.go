package crdt

import "unsafe"

// Footprint is what a region takes in memory, bytes by purpose. The first four are what Memory gave, with what its
// allocations have too much; the rest are Go objects.
type Footprint struct {
	Value  int64 `json:"value"`  // records of cells that hold a sibling, keys included
	Index  int64 `json:"index"`  // tables, and the heads of entries that have several cells
	Causal int64 `json:"causal"` // dot indexes, the context and its pieces
	Ghost  int64 `json:"ghost"`  // records of cells that hold nothing but ghosts
	Buffer int64 `json:"buffer"` // writes that wait for the next push or commit, pushed ones that wait for others, expiries
	Slack  int64 `json:"slack"`  // free slots of chunks that have others in use
}

// Total is the sum.
func (f Footprint) Total() int64 {
	return f.Value + f.Index + f.Causal + f.Ghost + f.Buffer + f.Slack
}

// Memory tells what the region takes. It takes time in proportion to the origins.
func (r *Region) Memory() Footprint {
	f := Footprint{
		Value:  r.store.use[forValue],
		Index:  r.store.use[forIndex],
		Causal: r.store.use[forCausal],
		Ghost:  r.store.use[forGhost],
	}
	if m := r.store.slabs; m != nil {
		f.Buffer = m.noted
		f.Slack = m.held - f.Value - f.Index - f.Causal - f.Ghost
	}
	for i := range r.origins {
		o := &r.origins[i]
		f.Causal += int64(unsafe.Sizeof(*o)) + int64(cap(o.index.leaves))*int64(unsafe.Sizeof(leaf{})) +
			int64(cap(o.runs.Above))*int64(unsafe.Sizeof(Span{}))
	}
	for i := range r.pieces {
		f.Causal += int64(len(r.pieces[i].extra)) * 64
	}
	if d := r.dirty; d != nil {
		f.Buffer += int64(cap(d.at))*int64(unsafe.Sizeof(pos{})) + int64(cap(d.gone))
	}
	if o := r.out; o != nil {
		f.Buffer += int64(cap(o.ops))*int64(unsafe.Sizeof(outOp{})) + int64(cap(o.names))
	}
	f.Buffer += int64(r.aside().waitLen) + r.orderBytes() + int64(cap(r.expiry))*int64(unsafe.Sizeof(expiryEnt{}))
	if x := r.store.scratch; x != nil {
		f.Buffer += int64(unsafe.Sizeof(*x)) + int64(cap(x.buf))
	}
	return f
}

// Add adds what another region takes.
func (f *Footprint) Add(o Footprint) {
	f.Value += o.Value
	f.Index += o.Index
	f.Causal += o.Causal
	f.Ghost += o.Ghost
	f.Buffer += o.Buffer
	f.Slack += o.Slack
}

// InUse is what of it lies in Memory, without free slots. It takes no time.
func (r *Region) InUse() int64 {
	u := &r.store.use
	return u[forValue] + u[forIndex] + u[forCausal] + u[forGhost]
}

// Held is InUse and what comes with it: slots that were freed in chunks that have others in use, and the notes of a Policy. It takes no
// time.
func (r *Region) Held() int64 { return r.InUse() + r.Free() + r.noted() }

// Free is what of Held is in freed slots.
func (r *Region) Free() int64 {
	if m, ok := r.store.mem.(*slabs); ok {
		return m.worn - r.InUse()
	}
	return 0
}

func (r *Region) noted() int64 {
	if m, ok := r.store.mem.(*slabs); ok {
		return m.noted
	}
	return 0
}

// Release gives everything that the region took of Config.Memory back. The region is of no use afterwards.
func (r *Region) Release() {
	s := &r.store
	r.DropOrders()
	s.entries.ascend(0, func(ref uint64) bool {
		if e := s.entryAt(ref); e.many() {
			t := s.cellsOf(e.b)
			t.ascend(0, func(ref uint64) bool { s.drop(ref); return true })
			t.free(s)
		}
		s.drop(ref)
		return true
	})
	if s.entries.n > 0 {
		s.entries.free(s)
	}
	for i := range r.origins {
		r.origins[i].index.free(s)
	}
	if s.slabs != nil {
		s.slabs.dropEmpty()
	}
	s.mem, s.slabs = nil, nil
}
