package crdt

import "fmt"

// A value may be packed where it lies: compressed, because it is large and nobody reads it. To everything else it is away (away.go):
// known by its dot, length and hash, and fetched by whoever wants its bytes, from the record instead of the durable image.
//
//	        Squeeze ──► packed ──► Evict ──► away
//	in memory            │  │
//	        Unpack ◄─────┘  └──► a read of what stays packed
//
// Packing needs no durable image, and a dirty value may be packed: its record is written unpacked. Reading one costs what it takes to
// unpack it, and an allocation. If memory rots, the hash tells, and the durable image has the value.

// Packer compresses values. Readers call Unpack at once, beside a writer, which alone calls Pack.
type Packer interface {
	// Pack appends a smaller form of val to dst. It may append what is no smaller: that is not kept.
	Pack(dst, val []byte) []byte
	// Unpack gives the size bytes that were packed. The caller keeps them.
	Unpack(packed []byte, size int) ([]byte, error)
}

const (
	// DefaultPack is the least length of a value that is packed, bytes. zstd gains little on shorter ones.
	DefaultPack = 512
	// A packed value takes at most so many quarters of its length.
	packQuarters = 3
)

// packs reports whether a sibling's value may be packed.
func (r *Region) packs(c *cell, s *sibling) bool {
	return s.tag == TagReg && c.kind != CellScore && !s.away && len(s.val) >= r.cfg.MinPack
}

// Squeeze packs the values of one cell, which EachEvictable or a Policy named, and tells how many bytes that saves: none where they
// are short, or packed already, or do not become much smaller. The policy is taken to have given the cell up: List it.
func (r *Region) Squeeze(id uint64) (saved int) {
	if r.cfg.Packer == nil {
		return 0
	}
	for _, ref := range r.store.withID(id) {
		saved += r.squeeze(ref)
	}
	return saved
}

func (r *Region) squeeze(ref uint64) (saved int) {
	c := r.handle()
	r.store.load(c, ref)
	for i := range c.sibs {
		s := &c.sibs[i]
		if !r.packs(c, s) {
			continue
		}
		packed := r.cfg.Packer.Pack(nil, s.val)
		if len(packed) > len(s.val)/4*packQuarters {
			continue
		}
		saved += len(s.val) - len(packed)
		r.sendAway(c, s)
		s.packed = packed
		x := r.setAside()
		x.packed++
		x.packedBytes += int64(s.size)
		x.packedSize += int64(len(packed))
	}
	if saved > 0 {
		r.store.noSlot(ref)
		p := r.store.policy
		r.store.policy = nil // not while it chooses
		r.put(c, c.present())
		r.store.policy = p
	}
	return saved
}

// unpacked gives the value of a packed sibling.
func (r *Region) unpacked(c *cell, s *sibling) ([]byte, error) {
	val, err := r.cfg.Packer.Unpack(s.packed, int(s.size))
	if err != nil {
		return nil, fmt.Errorf("%w: packed value: %w", ErrDamaged, err)
	}
	x := *s
	x.away, x.packed, x.val = false, nil, val
	if len(val) != int(s.size) || r.siblingHash(c, &x) != s.hash {
		return nil, fmt.Errorf("%w: packed value does not unpack to what was packed", ErrDamaged)
	}
	return val, nil
}

// forgetPacked counts one less that is packed.
func (r *Region) forgetPacked(s *sibling) {
	x := r.setAside()
	x.packed--
	x.packedBytes -= int64(s.size)
	x.packedSize -= int64(len(s.packed))
	s.packed = nil
}

// Unpack unpacks the values of a record's cell for good, and tells how many.
func (r *Region) Unpack(key []byte) (unpacked int) {
	c := r.cellOf(key)
	if c == nil {
		return 0
	}
	for i := range c.sibs {
		s := &c.sibs[i]
		if s.packed == nil {
			continue
		}
		if val, err := r.unpacked(c, s); err == nil {
			r.comeBack(s, val)
			unpacked++
		}
	}
	if unpacked > 0 {
		r.put(c, c.present())
	}
	return unpacked
}

// PackedValues is how many values are packed, how many bytes they have, and how many they take.
func (r *Region) PackedValues() (n int, bytes, packed int64) {
	x := r.aside()
	return x.packed, x.packedBytes, x.packedSize
}
