package crdt

import (
	"cmp"
	"slices"
)

// Tally counts what one origin wrote of a region.
type Tally struct {
	Live      int   // values, members and fields
	Bytes     int64 // of them, with keys, wherever they are
	Away      int   // values of them that are not in memory as they are
	AwayBytes int64
	Ghosts    int
}

// Place is where a walk goes on. The zero Place is the beginning.
type Place struct {
	at   pos
	over bool
}

// Over reports that the walk is at its end.
func (p Place) Over() bool { return p.over }

// TallyFrom adds to by, of each origin, what about most cells from a place on hold, and gives the place to go on from. It reads no
// values. Between two calls the region may change: what stays as it is is counted once.
func (r *Region) TallyFrom(p Place, most int, by map[Origin]*Tally) Place {
	if p.over {
		return p
	}
	n, last, next := 0, p.at, Place{over: true}
	r.eachCell(p.at, posMax, func(c *cell) bool {
		at := c.pos()
		if n >= most && last.less(at) && (at.e != last.e || !r.twins(at.e)) {
			next = Place{at: at}
			return false
		}
		last = at
		n++
		r.tally(c, by)
		return true
	})
	return next
}

func (r *Region) tally(c *cell, by map[Origin]*Tally) {
	of := func(t tip) *Tally {
		id := r.origins[t.org].id
		x := by[id]
		if x == nil {
			x = &Tally{}
			by[id] = x
		}
		return x
	}
	for i := range c.sibs {
		s := &c.sibs[i]
		x := of(s.tip)
		x.Live++
		x.Bytes += int64(len(c.key) + len(c.sub) + s.length())
		if s.away {
			x.Away++
			x.AwayBytes += int64(s.length())
		}
	}
	for _, g := range c.ghosts {
		of(g).Ghosts++
	}
}

// SlotClass is what a region has in slots of one size, or in chunks of one slot each, of which SlotBytes is 0.
type SlotClass struct {
	SlotBytes int   `json:"slot_bytes"`
	Slots     int   `json:"slots"`
	Used      int   `json:"used"`
	Bytes     int64 `json:"bytes"`      // of all slots
	FreeBytes int64 `json:"free_bytes"` // of those that nothing is in, and what is left over at the ends of chunks
}

// SlotClasses lists them, smallest first; none of a region with a Memory of its own. It takes time in proportion to the chunks, of up to
// 256 KiB each.
func (r *Region) SlotClasses() []SlotClass {
	m, ok := r.store.mem.(*slabs)
	if !ok {
		return nil
	}
	by := map[int]*SlotClass{}
	for i := range m.chunks {
		c := &m.chunks[i]
		if c.b == nil {
			continue
		}
		size := int(c.size)
		if c.kind == kindAlone {
			size = 0
		}
		x := by[size]
		if x == nil {
			x = &SlotClass{SlotBytes: size}
			by[size] = x
		}
		x.Slots += len(c.b) / int(c.size)
		x.Used += int(c.live)
		x.Bytes += int64(len(c.b))
		x.FreeBytes += int64(len(c.b)) - int64(c.live)*int64(c.size)
	}
	out := make([]SlotClass, 0, len(by))
	for _, x := range by {
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b SlotClass) int { return cmp.Compare(a.SlotBytes, b.SlotBytes) })
	return out
}
