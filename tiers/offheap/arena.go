package offheap

import (
	"math/bits"
	"sync"
	"time"
)

// An arena cuts the chunks of one memory node into blocks of powers of two, and joins them again when they are free: the
// buddy system. Blocks become slabs. Its lists live in the memory that they are about.
//
//	chunk, at a multiple of its size
//	┌────────┬─────────────────────────┬──────┬──────────┬─────────────────┬────
//	│ header │ one byte a unit:        │ block│ block    │ block           │ …
//	│ 64 B   │ the order of its block  │      │          │                 │
//	└────────┴─────────────────────────┴──────┴──────────┴─────────────────┴────
//
// Header and bytes fill the chunk's first block, so a chunk without slabs is one free block of each size from that one up.
type arena struct {
	mu   sync.Mutex
	src  Source
	node int

	chunkBytes int
	headBytes  uint64            // of a chunk's first block
	free       [maxOrders]uint64 // first free block, by order
	chunks     uint64            // first of all chunks

	mapped    int64
	freeBytes int64
	discarded int64 // of free blocks: addresses without memory
}

const (
	unitBytes        = 256 // the smallest block; a byte in 256 is what it costs to find a slab from an address
	maxOrders        = 12  // 256 B to 512 KiB
	chunkHeaderBytes = 64
	freeMark         = 0x80 // in a unit's byte: a free block starts here
)

type chunk struct {
	prev, next uint64
	freeBytes  int64
	idleSince  int64 // Unix nanoseconds at which Trim first saw it free; 0 when it is not known to be
}

// A freeBlock stands at the start of a free block.
type freeBlock struct {
	prev, next uint64
	discarded  uint32
}

func chunkAt(addr uint64) *chunk     { return (*chunk)(at(addr)) }
func blockAt(addr uint64) *freeBlock { return (*freeBlock)(at(addr)) }
func blockBytes(order uint8) int     { return unitBytes << order }

func newArena(src Source, chunkBytes, node int) *arena {
	head := chunkHeaderBytes + chunkBytes/unitBytes
	return &arena{src: src, node: node, chunkBytes: chunkBytes, headBytes: 1 << bits.Len(uint(head-1))}
}

func (a *arena) chunkOf(addr uint64) uint64 { return addr &^ uint64(a.chunkBytes-1) }

// unitOf gives where the byte of the unit that addr is in stands.
func (a *arena) unitOf(addr uint64) uint64 {
	c := a.chunkOf(addr)
	return c + chunkHeaderBytes + (addr-c)/unitBytes
}

func (a *arena) orderAt(addr uint64) *uint8 { return (*uint8)(at(a.unitOf(addr))) }

// take gives a block of the wanted order, or a smaller one, down to least, rather than map another chunk: what is left over
// of chunks would otherwise stay unused in a heap whose pools have all grown large.
func (a *arena) take(want, least uint8) (addr uint64, order uint8) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if addr = a.takeAtLeast(want); addr != 0 {
		return addr, want
	}
	for o := want; o > least; {
		if o--; a.free[o] != 0 {
			return a.takeAtLeast(o), o
		}
	}
	if !a.addChunk() {
		return 0, 0
	}
	return a.takeAtLeast(want), want
}

func (a *arena) takeAtLeast(order uint8) uint64 {
	o := order
	for a.free[o] == 0 {
		if o++; o == maxOrders {
			return 0
		}
	}
	addr := a.free[o]
	a.unlink(addr, o)
	for o > order {
		o--
		a.link(addr+uint64(blockBytes(o)), o)
	}
	c := chunkAt(a.chunkOf(addr))
	c.freeBytes -= int64(blockBytes(order))
	c.idleSince = 0
	a.freeBytes -= int64(blockBytes(order))
	units := bytesAt(a.unitOf(addr), 1<<order)
	for i := range units {
		units[i] = order
	}
	return addr
}

// give takes a block back and joins it with its other half for as long as that is free too.
func (a *arena) give(addr uint64, order uint8) {
	if poisoned {
		fill(bytesAt(addr, blockBytes(order)))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	chunkAt(a.chunkOf(addr)).freeBytes += int64(blockBytes(order))
	a.freeBytes += int64(blockBytes(order))
	for {
		other := addr ^ uint64(blockBytes(order))
		if a.chunkOf(other) == other || *a.orderAt(other) != freeMark|order {
			break // the chunk's head is never free
		}
		a.unlink(other, order)
		addr = min(addr, other)
		order++
	}
	a.link(addr, order)
}

func (a *arena) link(addr uint64, order uint8) {
	*a.orderAt(addr) = freeMark | order
	*blockAt(addr) = freeBlock{next: a.free[order]}
	if next := a.free[order]; next != 0 {
		blockAt(next).prev = addr
	}
	a.free[order] = addr
}

func (a *arena) unlink(addr uint64, order uint8) {
	b := blockAt(addr)
	if b.prev != 0 {
		blockAt(b.prev).next = b.next
	} else {
		a.free[order] = b.next
	}
	if b.next != 0 {
		blockAt(b.next).prev = b.prev
	}
	a.discarded -= int64(b.discarded)
	*a.orderAt(addr) = order
}

func (a *arena) addChunk() bool {
	addr, err := a.src.Map(a.chunkBytes, a.chunkBytes, a.node)
	if err != nil {
		return false
	}
	a.mapped += int64(a.chunkBytes)
	c := chunkAt(addr)
	*c = chunk{next: a.chunks, freeBytes: int64(a.chunkBytes) - int64(a.headBytes)}
	if a.chunks != 0 {
		chunkAt(a.chunks).prev = addr
	}
	a.chunks = addr
	a.freeBytes += c.freeBytes
	a.eachWhole(addr, a.link)
	return true
}

// eachWhole visits the blocks that a chunk without slabs consists of: each starts at an offset that is its size.
func (a *arena) eachWhole(chunk uint64, visit func(addr uint64, order uint8)) {
	for off := a.headBytes; off < uint64(a.chunkBytes); off *= 2 {
		visit(chunk+off, floorOrder(int64(off)))
	}
}

// trim unmaps chunks that have been free for as long as idle, and discards what lies in large free blocks of the others.
func (a *arena) trim(now time.Time, idle time.Duration) (returned int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for addr := a.chunks; addr != 0; {
		c, next := chunkAt(addr), chunkAt(addr).next
		if c.freeBytes == int64(a.chunkBytes)-int64(a.headBytes) && expired(&c.idleSince, now, idle) {
			a.dropChunk(addr)
			returned += int64(a.chunkBytes)
		}
		addr = next
	}
	return returned + a.discard()
}

// expired reports whether something has been seen idle for long enough, and notes when it was first seen so.
func expired(since *int64, now time.Time, idle time.Duration) bool {
	if idle <= 0 {
		return true
	}
	if *since == 0 {
		*since = now.UnixNano()
		return false
	}
	return now.UnixNano()-*since >= int64(idle)
}

func (a *arena) dropChunk(addr uint64) {
	c := chunkAt(addr)
	a.eachWhole(addr, a.unlink)
	a.freeBytes -= c.freeBytes
	if c.prev != 0 {
		chunkAt(c.prev).next = c.next
	} else {
		a.chunks = c.next
	}
	if c.next != 0 {
		chunkAt(c.next).prev = c.prev
	}
	a.mapped -= int64(a.chunkBytes)
	a.src.Unmap(addr, a.chunkBytes)
}

// Blocks from this order on (32 KiB) are worth a system call each.
const discardOrder = 7

// discard keeps each block's first page, where its links are.
func (a *arena) discard() (returned int64) {
	page := uint64(a.src.PageBytes())
	for o := uint8(discardOrder); o < maxOrders; o++ {
		for addr := a.free[o]; addr != 0; addr = blockAt(addr).next {
			b := blockAt(addr)
			n := uint64(blockBytes(o))
			if b.discarded != 0 || n <= page {
				continue
			}
			a.src.Discard(addr+page, int(n-page))
			b.discarded = uint32(n - page)
			returned += int64(n - page)
			a.discarded += int64(n - page)
		}
	}
	return returned
}

// close unmaps all chunks, whatever they hold.
func (a *arena) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for addr := a.chunks; addr != 0; {
		next := chunkAt(addr).next
		a.src.Unmap(addr, a.chunkBytes)
		addr = next
	}
	a.chunks, a.free = 0, [maxOrders]uint64{}
	a.mapped, a.freeBytes, a.discarded = 0, 0, 0
}
