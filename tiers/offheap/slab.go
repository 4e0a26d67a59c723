package offheap

import "unsafe"

// A slab is a block cut into slots of one class. Its header stands at its start; slots follow. Free slots are chained through
// their first two bytes, and slots above fresh were never used: pages that nothing was written to take no memory.
type slab struct {
	prev, next uint64
	free       uint16 // offset / 8 of the first free slot; 0 ends the chain
	fresh      uint16 // offset / 8 of the first slot that was never given out
	used       uint16 // slots
	slots      uint16
	pool       uint32
	class      uint8
	order      uint8
	list       uint8 // which of its bin's lists it is on
	_          uint8
}

const slabHeaderBytes = uint32(unsafe.Sizeof(slab{}))

// The lists of a bin.
const (
	partial = iota // slabs with free slots: Alloc takes from the first
	full
	sparse // slabs to be emptied: Alloc leaves them alone
	lists
)

// A bin is what a pool has of one class.
type bin struct {
	head     [lists]uint64
	spare    uint64 // the one empty slab that is kept, on the partial list
	since    int64  // Unix nanoseconds at which Trim first saw it empty
	reserved int64  // bytes of its slabs
	slabs    uint32
	class    uint8
}

func slabAt(addr uint64) *slab { return (*slab)(at(addr)) }

func (b *bin) link(addr uint64, list uint8) {
	s, next := slabAt(addr), b.head[list]
	s.list, s.prev, s.next = list, 0, next
	if next != 0 {
		slabAt(next).prev = addr
	}
	b.head[list] = addr
}

func (b *bin) unlink(addr uint64) {
	s := slabAt(addr)
	if s.prev != 0 {
		slabAt(s.prev).next = s.next
	} else {
		b.head[s.list] = s.next
	}
	if s.next != 0 {
		slabAt(s.next).prev = s.prev
	}
}

func (b *bin) move(addr uint64, list uint8) {
	b.unlink(addr)
	b.link(addr, list)
}

// each visits the slabs of one list. visit may unlink the slab that it is given.
func (b *bin) each(list uint8, visit func(addr uint64, s *slab)) {
	for addr := b.head[list]; addr != 0; {
		s := slabAt(addr)
		next := s.next
		visit(addr, s)
		addr = next
	}
}

// clear forgets which slots were used. The next ones come in order from the start, so that the slab's last
// pages are touched last.
func (s *slab) clear() {
	s.free, s.fresh, s.used = 0, uint16(slabHeaderBytes/8), 0
}

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
