package crdt

import (
	"encoding/binary"
	"math/bits"
)

// Memory is where a Region keeps its records and indexes: bytes under numbers, so that five million entries are a few
// thousand slices to the garbage collector. A Region calls it as it is called itself: one writer, or any number of
// readers, which call Bytes alone.
type Memory interface {
	// Alloc gives at least n bytes, n > 0, that are not cleared, and their number: not 0, and below 1<<36. They keep their
	// place until Free.
	Alloc(n int) (ref uint64, b []byte)
	// Bytes gives all the bytes of an allocation, as Alloc did.
	Bytes(ref uint64) []byte
	// Free takes an allocation back.
	Free(ref uint64)
}

// Chunks is where the slabs of a region that was given no Memory get their bytes: pieces of more than 256 bytes, up to 256 KiB, and
// values that are larger than 32 KiB. It is called as a Memory is.
type Chunks interface {
	// Alloc gives n bytes, which are not cleared, and their number; nil if there are none left.
	Alloc(n int) (ref uint64, b []byte)
	// Free takes an allocation back.
	Free(ref uint64)
}

// refBits is the size of a number of Memory in an index.
const refBits = 36

// slabs is the Memory of a region that was given none: slots of some hundred sizes in chunks, of Config.Chunks or, where they are small,
// of the Go heap, without pointers. A chunk holds slots of one size, grows with what the size holds already, so that a region with few
// entries costs little, and goes when its last slot is freed.
type slabs struct {
	source Chunks
	chunks []slab
	tags   [][]uint32 // by chunk, of each slot what setSlot gave; nil: nothing
	sizes  []slabSize
	index  *[slabSizes]uint8 // of a size number: 1 + its place in sizes; nil while there are few
	spare  uint32            // the first of the chunks without bytes; 0: none
	poison bool              // overwrite what is freed, for tests
	held   int64             // bytes in chunks
	worn   int64             // of these, in slots that were given out once: the rest takes no memory yet
	noted  int64             // and in what is noted of their slots
}

// slab is a chunk. Those of one size that have room are a list of both directions, and so, of one, are those without bytes.
type slab struct {
	b          []byte
	ref        uint64 // of b in the source; 0: it is of the Go heap
	size       uint32 // of a slot; of one slot alone its length
	next, prev uint32 // 0: none
	used       uint16 // slots that were given out ever
	live       uint16
	free       uint16 // 1 + the first free slot, which holds the next
	kind       uint8  // size number
	shut       bool   // nothing is put in any more: it is being emptied
}

// slabSize is what there is of one size.
type slabSize struct {
	held int
	room uint32 // the first chunk that has room; 0: none
	kind uint8
}

// slabSizesFew is up to how many sizes are looked for one by one.
const slabSizesFew = 8

const (
	slabGrain   = 4  // sizes are multiples
	slabBitsMax = 18 // of a chunk's bytes
	slabOffBits = slabBitsMax - 2
	slabMin     = 64 // bytes of the first chunk of a size
	// slabMax is of the largest: a source that notes something in front of a chunk then still fits a power of two, and huge
	// pages hold a whole number of them.
	slabMax      = 1<<slabBitsMax - 64
	slabAlone    = 32 << 10 // what is larger has a chunk alone
	slabHeap     = 256      // up to here a chunk is of the Go heap: it costs a small region less than a source does
	slabFine     = 256      // up to here each multiple is a size; beyond there are eight to a doubling
	slabSizes    = slabFine/slabGrain + 8*8 + 1
	kindAlone    = slabSizes - 1
	slabStays    = 16 << 10 // from so many bytes held on an empty chunk stays if it is the last of its size: slots come and go
	slabPoisoned = 0xdb
)

// sizeOf is the number of the size that holds n bytes, and its bytes.
func sizeOf(n int) (kind uint8, size int) {
	if n <= slabFine {
		k := max((n+slabGrain-1)/slabGrain, 1)
		return uint8(k - 1), k * slabGrain
	}
	shift := bits.Len(uint(n-1)) - 4
	m := (n-1)>>shift + 1 // 9 to 16 eighths of the power of two below n
	return uint8(slabFine/slabGrain + 8*(shift-5) + m - 9), m << shift
}

func (m *slabs) Alloc(n int) (uint64, []byte) {
	if n > slabAlone {
		return m.alone(n)
	}
	kind, size := sizeOf(n)
	s := m.sizeFor(kind)
	i := s.room
	if i == 0 {
		i = m.more(s, size)
	}
	c := &m.chunks[i]
	slot := c.used
	if c.free != 0 {
		slot = c.free - 1
		c.free = uint16(binary.LittleEndian.Uint32(c.b[int(slot)*size:]))
	} else {
		c.used++
		m.worn += int64(size)
	}
	if c.live++; !c.hasRoom() {
		m.unlink(s, i)
	}
	at := int(slot) * size
	return uint64(i)<<slabOffBits | uint64(at/slabGrain), c.b[at : at+size : at+size]
}

// sizeFor finds or makes what there is of a size.
func (m *slabs) sizeFor(kind uint8) *slabSize {
	if m.index != nil {
		if at := m.index[kind]; at != 0 {
			return &m.sizes[at-1]
		}
	} else {
		for i := range m.sizes {
			if m.sizes[i].kind == kind {
				return &m.sizes[i]
			}
		}
	}
	m.sizes = append(m.sizes, slabSize{kind: kind})
	if n := len(m.sizes); m.index != nil {
		m.index[kind] = uint8(n)
	} else if n > slabSizesFew {
		m.index = new([slabSizes]uint8)
		for i := range m.sizes {
			m.index[m.sizes[i].kind] = uint8(i + 1)
		}
	}
	return &m.sizes[len(m.sizes)-1]
}

// more makes a chunk of a size.
func (m *slabs) more(s *slabSize, size int) uint32 {
	slots := max(min(max(s.held/2, slabMin), slabMax)/size, 1)
	i := m.chunk(s.kind, slots*size, size)
	s.held += slots * size
	m.link(s, i)
	return i
}

// link puts a chunk first among those that have room.
func (m *slabs) link(s *slabSize, i uint32) {
	if s.room != 0 {
		m.chunks[s.room].prev = i
	}
	m.chunks[i].next, m.chunks[i].prev = s.room, 0
	s.room = i
}

// unlink takes one out.
func (m *slabs) unlink(s *slabSize, i uint32) {
	c := &m.chunks[i]
	if c.prev != 0 {
		m.chunks[c.prev].next = c.next
	} else {
		s.room = c.next
	}
	if c.next != 0 {
		m.chunks[c.next].prev = c.prev
	}
	c.next, c.prev = 0, 0
}

// shut keeps a chunk from being filled.
func (m *slabs) shut(i uint32) {
	c := &m.chunks[i]
	if c.hasRoom() {
		m.unlink(m.sizeFor(c.kind), i)
	}
	c.shut = true
}

func (c *slab) hasRoom() bool {
	return !c.shut && (c.free != 0 || (int(c.used)+1)*int(c.size) <= len(c.b))
}

func (m *slabs) chunk(kind uint8, n, size int) uint32 {
	if len(m.chunks) == 0 {
		m.chunks = append(m.chunks, slab{}) // so that no reference is 0
	}
	m.held += int64(n)
	x := slab{size: uint32(size), kind: kind}
	if m.source != nil && n > slabHeap {
		x.ref, x.b = m.source.Alloc(n)
	}
	if x.b == nil {
		x.ref, x.b = 0, make([]byte, n)
	}
	if i := m.spare; i != 0 {
		m.spare, m.chunks[i] = m.chunks[i].next, x
		return i
	}
	m.chunks = append(m.chunks, x)
	return uint32(len(m.chunks) - 1)
}

// alone makes a chunk of one slot.
func (m *slabs) alone(n int) (uint64, []byte) {
	i := m.chunk(kindAlone, n, n)
	c := &m.chunks[i]
	c.used, c.live = 1, 1
	m.worn += int64(n)
	return uint64(i) << slabOffBits, c.b
}

func (m *slabs) Bytes(ref uint64) []byte {
	c := &m.chunks[ref>>slabOffBits]
	at := int(ref&(1<<slabOffBits-1)) * slabGrain
	end := at + int(c.size)
	return c.b[at:end:end]
}

func (m *slabs) Free(ref uint64) {
	i := uint32(ref >> slabOffBits)
	c := &m.chunks[i]
	if m.poison {
		for k, b := 0, m.Bytes(ref); k < len(b); k++ {
			b[k] = slabPoisoned
		}
	}
	if c.kind == kindAlone {
		m.drop(i)
		return
	}
	s := m.sizeFor(c.kind)
	full := !c.hasRoom()
	if c.live--; c.live == 0 && (c.shut || m.othersHaveRoom(s, i) || m.held < slabStays) {
		if !full {
			m.unlink(s, i)
		}
		s.held -= len(c.b)
		m.drop(i)
		return
	}
	at := int(ref&(1<<slabOffBits-1)) * slabGrain
	binary.LittleEndian.PutUint32(c.b[at:], uint32(c.free))
	c.free = uint16(at/int(c.size)) + 1
	if full && !c.shut {
		m.link(s, i)
	}
}

// othersHaveRoom reports whether other chunks of its size have.
func (m *slabs) othersHaveRoom(s *slabSize, i uint32) bool {
	return s.room != 0 && (s.room != i || m.chunks[i].next != 0)
}

// tagsOf is what was noted of a chunk's slots.
func (m *slabs) tagsOf(i uint64) []uint32 {
	if i < uint64(len(m.tags)) {
		return m.tags[i]
	}
	return nil
}

// slot gives the number that was noted of an allocation, 0 for none.
func (m *slabs) slot(ref uint64) uint32 {
	i := ref >> slabOffBits
	if tags := m.tagsOf(i); tags != nil {
		return tags[uint32(ref&(1<<slabOffBits-1))*slabGrain/m.chunks[i].size]
	}
	return 0
}

// setSlot notes a number of an allocation.
func (m *slabs) setSlot(ref uint64, slot uint32) {
	i := ref >> slabOffBits
	c, tags := &m.chunks[i], m.tagsOf(i)
	if tags == nil {
		if slot == 0 {
			return
		}
		for uint64(len(m.tags)) <= i {
			m.tags = append(m.tags, nil)
		}
		tags = make([]uint32, max(len(c.b)/int(c.size), 1))
		m.tags[i] = tags
		m.noted += int64(4 * len(tags))
	}
	tags[uint32(ref&(1<<slabOffBits-1))*slabGrain/c.size] = slot
}

// dropSlots forgets all that was noted.
func (m *slabs) dropSlots() { m.tags, m.noted = nil, 0 }

// dropEmpty gives back the chunks that are empty and stayed.
func (m *slabs) dropEmpty() {
	for i := range m.chunks {
		if c := &m.chunks[i]; c.b != nil && c.live == 0 {
			m.drop(uint32(i))
		}
	}
}

// drop gives a chunk's bytes back.
func (m *slabs) drop(i uint32) {
	c := &m.chunks[i]
	m.held -= int64(len(c.b))
	m.worn -= int64(c.used) * int64(c.size)
	if tags := m.tagsOf(uint64(i)); tags != nil {
		m.noted -= int64(4 * len(tags))
		m.tags[i] = nil
	}
	if c.ref != 0 {
		m.source.Free(c.ref)
	}
	*c = slab{next: m.spare}
	m.spare = i
}
