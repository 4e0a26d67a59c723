package offheap

import "math/bits"

// Size classes: every 8 bytes from 16 to 256, since records of small keys and values are there, then eight to a doubling. A slot is
// then at most 1/8 larger than what was asked for, beyond 64 bytes, and 5 % larger on average. Four to a doubling would save slabs in small pools, and cost twice that in
// large ones, which is where the bytes are.
const (
	classMinBytes = 16
	fineMaxBytes  = 1 << fineMaxLog
	fineMaxLog    = 8
	fineClasses   = (fineMaxBytes-classMinBytes)/8 + 1
	doublings     = 7 // 256 B to 32 KiB
	classCount    = fineClasses + doublings*8
)

var classBytes = func() (sizes [classCount]uint32) {
	for c := range sizes {
		if c < fineClasses {
			sizes[c] = uint32(classMinBytes + 8*c)
			continue
		}
		k, sub := (c-fineClasses)/8, (c-fineClasses)%8
		base := uint32(fineMaxBytes) << k
		sizes[c] = base + base/8*uint32(sub+1)
	}
	return sizes
}()

// classOf gives the smallest class with at least n bytes, for n from 1 to the largest class.
func classOf(n int) int {
	if n <= fineMaxBytes {
		return max(0, (n+7)/8-classMinBytes/8)
	}
	m := uint(n - 1)
	k := bits.Len(m) - 1 // n is above 2^k and at most 2^(k+1)
	return fineClasses + (k-fineMaxLog)*8 + int(m>>(k-3)&7)
}

// A plan says how large the slabs of each class may be in a heap with chunks of a given size.
type plan struct {
	classes  int               // how many classes are served from slabs
	maxBytes int               // the largest of them
	least    [classCount]uint8 // the smallest that holds an object
	good     [classCount]uint8 // the smallest that wastes at most 1/16
	most     [classCount]uint8
}

// Slabs of small classes stop growing here: beyond it a slab saves nothing and takes longer to become empty.
const slabEnoughBytes = 64 << 10

// planFor takes classes up to a sixteenth of a chunk: half a chunk, the largest block, then holds seven objects of the largest.
func planFor(chunkBytes int) *plan {
	pl := &plan{}
	top := uint8(bits.Len(uint(chunkBytes/2/unitBytes)) - 1)
	for c, size := range classBytes {
		if int(size) > chunkBytes/16 {
			break
		}
		pl.classes, pl.maxBytes = c+1, int(size)
		o := uint8(0)
		for slotsIn(o, size) == 0 {
			o++
		}
		pl.least[c] = o
		for o < top && (blockBytes(o) < slabEnoughBytes || wasteIn(o, size) > 16) {
			o++
		}
		pl.most[c] = o
		for o > pl.least[c] && wasteIn(o-1, size) <= 16 {
			o--
		}
		pl.good[c] = o
	}
	return pl
}

// orderFor picks the next slab of a class that has reserved bytes: a quarter of what there is, so that the unused part
// of the newest slab stays small beside the rest; more, up to doubling, where that size fits badly.
func (pl *plan) orderFor(c int, reserved int64) uint8 {
	o := max(pl.least[c], floorOrder(reserved/4))
	for o < floorOrder(reserved) && wasteIn(o, classBytes[c]) > 32 {
		o++
	}
	return min(o, pl.most[c])
}

// floorOrder gives the largest order whose block has at most n bytes.
func floorOrder(n int64) uint8 {
	if n < unitBytes {
		return 0
	}
	return uint8(bits.Len64(uint64(n)/unitBytes) - 1)
}

func slotsIn(order uint8, size uint32) uint32 {
	return (uint32(blockBytes(order)) - slabHeaderBytes) / size
}

// wasteIn gives what a slab's header and tail take, in 1/256 of it.
func wasteIn(order uint8, size uint32) uint32 {
	whole := uint32(blockBytes(order))
	return (whole - slotsIn(order, size)*size) * 256 / whole
}
