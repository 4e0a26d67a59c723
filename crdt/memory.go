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

// Chunks is where the slabs of a region that was given no Memory get their bytes: pieces of 64 bytes to 256 KiB, and values that
// are larger than 32 KiB. It is called as a Memory is.
type Chunks interface {
	// Alloc gives n bytes, which are not cleared, and their number; nil if there are none left.
	Alloc(n int) (ref uint64, b []byte)
	// Free takes an allocation back.
	Free(ref uint64)
}

// refBits is the size of a number of Memory in an index.
const refBits = 36

// slabs is the Memory of a region that was given none: slots of some hundred sizes in chunks, of Config.Chunks or of the Go
// heap without pointers. A chunk holds slots of one size, grows with what the size holds already, so that a region with few
// entries costs little, and goes when its last slot is freed.
type slabs struct {
	source Chunks
	chunks []slab
	spare  []uint32 // chunks without bytes
	sizes  []slabSize
	of     [slabSizes]uint8 // of a size number: 1 + its place in sizes
	held   int64            // bytes in chunks
	worn   int64            // of these, in slots that were given out once: the rest takes no memory yet
	noted  int64            // and in what is noted of their slots
	poison bool             // overwrite what is freed, for tests
}

type slab struct {
	b    []byte
	size uint32 // of a slot; of one slot alone its length
	used uint32 // slots that were given out ever
	ref  uint64 // of b in the source; 0: it is of the Go heap
	live uint32
	free uint32   // 1 + the first free slot, which holds the next
	kind uint8    // size number
	shut bool     // nothing is put in any more: it is being emptied
	tags []uint32 // of each slot, what setSlot gave; nil: nothing
}

// slabSize is what there is of one size.
type slabSize struct {
	room []uint32 // chunks that had room when they were put here
	held int
}

const (
	slabGrain   = 4  // sizes are multiples
	slabBitsMax = 18 // of a chunk's bytes
	slabOffBits = slabBitsMax - 2
	slabMin     = 64 // bytes of the first chunk of a size
	// slabMax is of the largest: a source that notes something in front of a chunk then still fits a power of two, and huge
	// pages hold a whole number of them.
	slabMax      = 1<<slabBitsMax - 64
	slabAlone    = 32 << 10 // what is larger has a chunk alone
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
	i := m.withRoom(kind, size)
	c := &m.chunks[i]
	slot := c.used
	if c.free != 0 {
		slot = c.free - 1
		c.free = binary.LittleEndian.Uint32(c.b[int(slot)*size:])
	} else {
		c.used++
		m.worn += int64(size)
	}
	c.live++
	at := int(slot) * size
	return uint64(i)<<slabOffBits | uint64(at/slabGrain), c.b[at : at+size : at+size]
}

// withRoom finds or makes a chunk with a free slot.
func (m *slabs) withRoom(kind uint8, size int) uint32 {
	if m.of[kind] == 0 {
		m.sizes = append(m.sizes, slabSize{})
		m.of[kind] = uint8(len(m.sizes))
	}
	s := &m.sizes[m.of[kind]-1]
	for n := len(s.room); n > 0; n-- {
		i := s.room[n-1]
		if c := &m.chunks[i]; c.kind == kind && c.b != nil && c.hasRoom() {
			return i
		}
		s.room = s.room[:n-1]
	}
	slots := max(min(max(s.held/2, slabMin), slabMax)/size, 1)
	i := m.chunk(kind, slots*size, size)
	s.held += slots * size
	s.room = append(s.room, i)
	return i
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
	if m.source != nil {
		x.ref, x.b = m.source.Alloc(n)
	}
	if x.b == nil {
		x.ref, x.b = 0, make([]byte, n)
	}
	if n := len(m.spare); n > 0 {
		i := m.spare[n-1]
		m.spare = m.spare[:n-1]
		m.chunks[i] = x
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
	if c.live--; c.kind == kindAlone {
		m.drop(i)
		return
	}
	s := &m.sizes[m.of[c.kind]-1]
	if c.live == 0 && (c.shut || len(s.room) > 1 || m.held < slabStays) {
		s.held -= len(c.b)
		m.drop(i)
		return
	}
	full := !c.hasRoom()
	at := int(ref&(1<<slabOffBits-1)) * slabGrain
	binary.LittleEndian.PutUint32(c.b[at:], c.free)
	c.free = uint32(at/int(c.size)) + 1
	if full && !c.shut {
		s.room = append(s.room, i)
	}
}

// slot gives the number that was noted of an allocation, 0 for none.
func (m *slabs) slot(ref uint64) uint32 {
	c := &m.chunks[ref>>slabOffBits]
	if c.tags == nil {
		return 0
	}
	return c.tags[uint32(ref&(1<<slabOffBits-1))*slabGrain/c.size]
}

// setSlot notes a number of an allocation.
func (m *slabs) setSlot(ref uint64, slot uint32) {
	c := &m.chunks[ref>>slabOffBits]
	if c.tags == nil {
		if slot == 0 {
			return
		}
		c.tags = make([]uint32, max(len(c.b)/int(c.size), 1))
		m.noted += int64(4 * len(c.tags))
	}
	c.tags[uint32(ref&(1<<slabOffBits-1))*slabGrain/c.size] = slot
}

// dropSlots forgets all that was noted.
func (m *slabs) dropSlots() {
	for i := range m.chunks {
		m.chunks[i].tags = nil
	}
	m.noted = 0
}

// drop gives a chunk's bytes back.
func (m *slabs) drop(i uint32) {
	m.held -= int64(len(m.chunks[i].b))
	m.noted -= int64(4 * len(m.chunks[i].tags))
	m.worn -= int64(m.chunks[i].used) * int64(m.chunks[i].size)
	if ref := m.chunks[i].ref; ref != 0 {
		m.source.Free(ref)
	}
	m.chunks[i] = slab{}
	m.spare = append(m.spare, i)
}
