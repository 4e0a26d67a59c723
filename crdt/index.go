package crdt

import "slices"

// dotIndex maps one origin's dots that are still live, or ghosts, to their cells. It answers "what has a
// reader of this context not seen" in time proportional to the answer. Dots that were covered leave
// dead entries behind, which compaction drops once they are the majority: the index costs memory
// by live dot, never by history.
type dotIndex struct {
	ents   []dotEnt
	dead   int
	jumbly bool // some entry is out of order: sort before use
}

type dotEnt struct {
	seq Seq
	c   *cell
}

const indexCompactMin = 64

func (x *dotIndex) add(seq Seq, c *cell) {
	if n := len(x.ents); n > 0 && x.ents[n-1].seq >= seq {
		x.jumbly = true
	}
	x.ents = append(x.ents, dotEnt{seq, c})
}

// drop notes that one dot left its cell.
func (x *dotIndex) drop(org uint32) {
	if x.dead++; x.dead > indexCompactMin && x.dead > len(x.ents)/2 {
		x.compact(org)
	}
}

func (x *dotIndex) compact(org uint32) {
	live := x.ents[:0]
	for _, e := range x.ents {
		if e.c.hasTip(tip{org, e.seq}) {
			live = append(live, e)
		}
	}
	clear(x.ents[len(live):])
	if cap(x.ents) > 4*len(live)+indexCompactMin {
		live = slices.Clone(live)
	}
	x.ents, x.dead = live, 0
}

func (x *dotIndex) sort() {
	if !x.jumbly {
		return
	}
	slices.SortFunc(x.ents, func(a, b dotEnt) int {
		switch {
		case a.seq < b.seq:
			return -1
		case a.seq > b.seq:
			return 1
		}
		return 0
	})
	x.jumbly = false
}

// missing calls fn on the cell of every dot that r has not seen.
func (x *dotIndex) missing(org uint32, r Runs, fn func(seq Seq, c *cell)) {
	x.sort()
	from, _ := slices.BinarySearchFunc(x.ents, r.Base+1, func(e dotEnt, s Seq) int {
		if e.seq < s {
			return -1
		}
		return 1
	})
	for _, e := range x.ents[from:] {
		if !r.Has(e.seq) && e.c.hasTip(tip{org, e.seq}) {
			fn(e.seq, e.c)
		}
	}
}
