package offheap

import (
	"fmt"
	"sync/atomic"
)

// A Pool holds the objects of one owner and purpose. One writer at a time may use it (the owner's lock says which), beside any
// number of readers of Bytes while no writer runs. Used, Requested and Reserved may be read at any time.
type Pool struct {
	heap  *Heap
	arena *arena
	debug debug // empty but under the build tag edgemem_poison

	used      atomic.Int64
	requested atomic.Int64
	reserved  atomic.Int64

	bins    []bin
	large   uint64 // first of the objects with mappings of their own
	name    uint32 // never reused: slabs carry it
	place   uint32 // among the heap's pools
	purpose Purpose
	slot    [classCount]uint8 // of each class, its bin's place + 1
}

// Alloc gives n bytes, whose content is undefined. When the system has no memory left both results are nil; so they are for n = 0,
// since nothing needs no place.
func (p *Pool) Alloc(n int) (Ref, []byte) {
	if uint(n-1) >= uint(p.heap.plan.maxBytes) {
		return p.allocLarge(n)
	}
	b := p.binWithRoom(classOf(n))
	if b == nil {
		return 0, nil
	}
	place := b.head[partial]
	base, size := b.slabs[place-1], classBytes[b.class]
	s := slabAt(base)
	slot := s.takeSlot(base, size)
	if s.used == s.slots {
		b.move(s, full)
	}
	if place == b.spare {
		b.spare = 0
	}
	p.used.Add(int64(size))
	p.requested.Add(int64(n))
	ref := Ref(n)<<addrBits | slot
	if poisoned {
		ref = p.debug.allocated(ref)
	}
	return ref, bytesAt(slot, n)
}

// Bytes gives the object that Alloc gave. The slice is valid until its Free; nil has none.
func (p *Pool) Bytes(ref Ref) []byte {
	if poisoned {
		p.debug.check(ref, "read")
	}
	if n := ref >> addrBits; n != 0 {
		return bytesAt(ref&addrMask, int(n))
	}
	return largeBytes(ref)
}

// Free takes an object back. Freeing nil does nothing.
func (p *Pool) Free(ref Ref) {
	if poisoned {
		p.debug.freed(p, ref)
	}
	n := ref >> addrBits
	if n == 0 {
		p.freeLarge(ref)
		return
	}
	base := p.slabOf(ref)
	s := slabAt(base)
	if s.pool != p.name {
		panic(fmt.Sprintf("offheap: free of %#x, which is not of this pool", ref))
	}
	s.giveSlot(base, ref&addrMask)
	p.used.Add(-int64(classBytes[s.class]))
	p.requested.Add(-int64(n))
	if s.used == 0 || s.list == full {
		p.relist(&p.bins[p.slot[s.class]-1], s)
	}
}

// Resize changes an object's length where it lies, when n bytes are of its size class: an overwrite then moves nothing. It gives the
// Ref that the object has from now on, or false when it takes an Alloc and a Free instead. The bytes up to the shorter length stay.
func (p *Pool) Resize(ref Ref, n int) (Ref, []byte, bool) {
	if poisoned {
		p.debug.check(ref, "resize")
	}
	old := int(ref >> addrBits)
	if old == 0 || uint(n-1) >= uint(p.heap.plan.maxBytes) {
		return ref, nil, false
	}
	if class := slabAt(p.slabOf(ref)).class; classOf(n) != int(class) {
		return ref, nil, false
	}
	p.requested.Add(int64(n - old))
	again := ref&(1<<addrBits-1) | Ref(n)<<addrBits
	if poisoned {
		p.debug.resized(again)
	}
	return again, bytesAt(ref&addrMask, n), true
}

// relist puts a slab where it belongs after a slot of it became free.
func (p *Pool) relist(b *bin, s *slab) {
	if s.list == full {
		b.link(s, partial)
	}
	if s.used > 0 {
		return
	}
	// One empty slab a class is kept until Trim: the next Alloc after a Free at its edge would otherwise fetch what was just returned.
	if s.list == sparse || b.spare != 0 {
		p.release(b, s)
		return
	}
	s.clear()
	b.spare = s.place
	*since(b.slabs[s.place-1]) = 0
}

func (p *Pool) slabOf(ref Ref) uint64 {
	addr := ref & addrMask
	c := addr &^ (p.heap.chunkBytes - 1)
	order := *(*uint8)(at(c + chunkHeaderBytes + (addr-c)/unitBytes))
	return addr &^ (unitBytes<<order - 1)
}

// binWithRoom gives a bin from which an object of a class can be taken, or nil when there is no memory. The next call may move it.
func (p *Pool) binWithRoom(class int) *bin {
	if i := p.slot[class]; i != 0 && p.bins[i-1].head[partial] != 0 {
		return &p.bins[i-1]
	}
	if b := p.lender(class); b != nil {
		return b
	}
	if p.slot[class] == 0 {
		p.bins = append(p.bins, bin{class: uint8(class)})
		p.slot[class] = uint8(len(p.bins))
	}
	b := &p.bins[p.slot[class]-1]
	if !p.grow(b) {
		return nil
	}
	return b
}

// A pool with less than this lends slots of larger classes, up to half as large again: where there are a handful of objects,
// a slab for each of their sizes would cost more.
const lendBelowBytes = 4 << 10

func (p *Pool) lender(class int) *bin {
	if p.reserved.Load() >= lendBelowBytes {
		return nil
	}
	enough := classBytes[class] * 3 / 2
	for c := class + 1; c < classCount && classBytes[c] <= enough; c++ {
		if i := p.slot[c]; i != 0 && p.bins[i-1].head[partial] != 0 {
			return &p.bins[i-1]
		}
	}
	return nil
}

// grow adds a slab to a bin, and reports whether there was memory for one.
func (p *Pool) grow(b *bin) bool {
	want := p.heap.plan.orderFor(int(b.class), b.reserved())
	base, order := p.arena.take(want, min(want, p.heap.plan.good[b.class]))
	if base == 0 {
		return false
	}
	s := slabAt(base)
	*s = slab{pool: p.name, class: b.class, order: order, slots: uint16(slotsIn(order, classBytes[b.class]))}
	s.clear()
	b.add(base)
	b.units += 1 << order
	p.reserve(int64(blockBytes(order)))
	return true
}

func (p *Pool) release(b *bin, s *slab) {
	base, order := b.slabs[s.place-1], s.order
	b.remove(s)
	b.units -= 1 << order
	p.reserve(-int64(blockBytes(order)))
	s.pool = 0 // a stale Ref is then told from a live one
	p.arena.give(base, order)
}

func (p *Pool) reserve(bytes int64) {
	p.reserved.Add(bytes)
	p.heap.reserved[p.purpose].Add(bytes)
}
