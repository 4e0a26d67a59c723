package offheap

import "unsafe"

// A slab is a block cut into slots of one class. Its header stands at its start; slots follow. Free slots are chained through
// their first two bytes, and slots above fresh were never used: pages that nothing was written to take no memory.
type slab struct {
	prev, next uint32 // on the list that it is on: places in its bin, 0 for none
	place      uint32 // in its bin's slabs, from 1
	pool       uint32 // the pool's name
	free       uint16 // offset / 8 of the first free slot; 0 ends the chain
	fresh      uint16 // offset / 8 of the first slot that was never given out
	used       uint16 // slots
	slots      uint16
	class      uint8
	order      uint8
	list       uint8 // which of its bin's lists it is on
}

const slabHeaderBytes = 32 // of which the slab struct takes 28: slots start at a multiple of 8

var _ [slabHeaderBytes - unsafe.Sizeof(slab{})]byte // it fits

// The lists of a bin. Slabs without free slots are on none, since linking touches the headers of neighbours: in a large pool
// each is a miss of caches and translation, and slabs become full and leave that state at almost every random Alloc and Free.
const (
	partial = iota // slabs with free slots: Alloc takes from the first
	sparse         // slabs to be emptied: Alloc leaves them alone
	lists
	full = lists
)

// A bin is what a pool has of one class.
type bin struct {
	slabs []uint64      // addresses, in no order
	head  [lists]uint32 // places
	spare uint32        // place of the one empty slab that is kept, on the partial list
	units uint32        // of the slabs together
	class uint8
}

func (b *bin) reserved() int64 { return int64(b.units) * unitBytes }

func slabAt(addr uint64) *slab { return (*slab)(at(addr)) }

func (b *bin) at(place uint32) *slab { return slabAt(b.slabs[place-1]) }

func (b *bin) add(addr uint64) {
	b.slabs = append(b.slabs, addr)
	slabAt(addr).place = uint32(len(b.slabs))
	b.link(slabAt(addr), partial)
}

// remove lets the last slab take the removed one's place.
func (b *bin) remove(s *slab) {
	b.unlink(s)
	place, last := s.place, uint32(len(b.slabs))
	if place != last {
		b.rename(b.at(last), place)
		b.slabs[place-1] = b.slabs[last-1]
	}
	b.slabs = b.slabs[:last-1]
	if cap(b.slabs) > 16 && len(b.slabs) < cap(b.slabs)/4 {
		b.slabs = append([]uint64(nil), b.slabs...)
	}
}

func (b *bin) rename(s *slab, place uint32) {
	if s.place == b.spare {
		b.spare = place
	}
	list := s.list
	b.unlink(s)
	s.place = place
	b.link(s, list)
}

// link puts a slab first on a list. Its place must not be looked up before slabs[place-1] is the slab.
func (b *bin) link(s *slab, list uint8) {
	s.list = list
	if list == full {
		return
	}
	s.prev, s.next = 0, b.head[list]
	if s.next != 0 {
		b.at(s.next).prev = s.place
	}
	b.head[list] = s.place
}

func (b *bin) unlink(s *slab) {
	if s.list == full {
		return
	}
	if s.prev != 0 {
		b.at(s.prev).next = s.next
	} else {
		b.head[s.list] = s.next
	}
	if s.next != 0 {
		b.at(s.next).prev = s.prev
	}
}

func (b *bin) move(s *slab, list uint8) {
	b.unlink(s)
	b.link(s, list)
}

// clear forgets which slots were used. The next ones come in order from the start, so that the slab's last
// pages are touched last.
func (s *slab) clear() {
	s.free, s.fresh, s.used = 0, slabHeaderBytes/8, 0
}

// since is when Trim first saw an empty slab so, in Unix nanoseconds; 0 when it did not yet. It stands where the first object will.
func since(addr uint64) *int64 { return (*int64)(at(addr + slabHeaderBytes)) }

// takeSlot gives the address of a slot of a slab that is not full.
func (s *slab) takeSlot(base uint64, size uint32) uint64 {
	s.used++
	if s.free == 0 {
		slot := base + uint64(s.fresh)*8
		s.fresh += uint16(size / 8)
		return slot
	}
	slot := base + uint64(s.free)*8
	s.free = *link16(slot)
	if poisoned {
		checkPoison(slot, size)
	}
	return slot
}

func (s *slab) giveSlot(base, slot uint64) {
	*link16(slot) = s.free
	s.free = uint16((slot - base) / 8)
	s.used--
}
