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
	b := p.binOf(classOf(n))
	base := b.head[partial]
	if base == 0 {
		if base = p.grow(b); base == 0 {
			return 0, nil
		}
	}
	s, size := slabAt(base), classBytes[b.class]
	slot := s.takeSlot(base, size)
	if s.used == s.slots {
		b.move(base, full)
	}
	if base == b.spare {
		b.spare, b.since = 0, 0
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
		p.relist(&p.bins[p.slot[s.class]-1], base)
	}
}

// relist puts a slab where it belongs after a slot of it became free.
func (p *Pool) relist(b *bin, base uint64) {
	s := slabAt(base)
	if s.list == full {
		b.move(base, partial)
	}
	if s.used > 0 {
		return
	}
	// One empty slab a class is kept until Trim: the next Alloc after a Free at its edge would otherwise fetch what was just returned.
	if s.list == sparse || b.spare != 0 {
		p.release(b, base)
		return
	}
	s.clear()
	b.spare, b.since = base, 0
}

func (p *Pool) slabOf(ref Ref) uint64 {
	addr := ref & addrMask
	c := addr &^ (p.heap.chunkBytes - 1)
	order := *(*uint8)(at(c + chunkHeaderBytes + (addr-c)/unitBytes))
	return addr &^ (unitBytes<<order - 1)
}

// binOf finds the bin of a class, or makes it. The next call may move it.
func (p *Pool) binOf(class int) *bin {
	i := p.slot[class]
	if i == 0 {
		p.bins = append(p.bins, bin{class: uint8(class)})
		i = uint8(len(p.bins))
		p.slot[class] = i
	}
	return &p.bins[i-1]
}

// grow adds a slab to a bin, and gives 0 when there is no memory.
func (p *Pool) grow(b *bin) uint64 {
	want := p.heap.plan.orderFor(int(b.class), b.reserved)
	base, order := p.arena.take(want, min(want, p.heap.plan.good[b.class]))
	if base == 0 {
		return 0
	}
	s := slabAt(base)
	*s = slab{pool: p.name, class: b.class, order: order, slots: uint16(slotsIn(order, classBytes[b.class]))}
	s.clear()
	b.link(base, partial)
	b.slabs++
	b.reserved += int64(blockBytes(order))
	p.reserve(int64(blockBytes(order)))
	return base
}

func (p *Pool) release(b *bin, base uint64) {
	s := slabAt(base)
	b.unlink(base)
	b.slabs--
	order := s.order
	b.reserved -= int64(blockBytes(order))
	p.reserve(-int64(blockBytes(order)))
	s.pool = 0 // a stale Ref is then told from a live one
	p.arena.give(base, order)
}

func (p *Pool) reserve(bytes int64) {
	p.reserved.Add(bytes)
	p.heap.reserved[p.purpose].Add(bytes)
}
