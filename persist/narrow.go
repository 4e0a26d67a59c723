package persist

import (
	"math/bits"
	"runtime"

	"github.com/dgraph-io/badger/v4"
)

// On machines with 32-bit words Badger writes tables that are garbage, unless it is kept from it. It builds a table in memory that ristretto's
// Allocator hands out, and when the first buffer of that is full, the number of the next, shifted left by 32 bits of an int, is
// 0: the first buffer is handed out once more, under what was written there (ristretto v2.2.0 to v2.4.1, z/allocator.go, Allocate).
// So there a table has to fit in the first buffer, whatever is in it. Three things see to that:
//
//   - The first buffer is twice Options.TableSize, rounded up to a power of two. A TableSize just above a power of two makes it four times as
//     large (narrowTableBytes), for all levels alike.
//   - A block is allocated whole when it is begun, and anew, twice as large, when one entry is larger than it. Blocks of narrowBlockBytes take the
//     longest entry that there can be, and two that follow each other are more than a block together; so blocks are at least half full.
//   - Level 0 is not compacted into itself, for which Badger takes a TableSize of 4 GiB, which is less than nothing in 32 bits. It does so from four
//     tables on; smallLevelZeroStall keeps it at three.

const (
	wordBits             = bits.UintSize
	narrowBlockBytes     = 40 << 10 // a key of inlineKeyBytes, a value of narrowThresholdBytes, and what goes around them
	narrowBlockPadding   = 256      // Badger's
	narrowThresholdBytes = 4 << 10  // the longest value that may be in a table
	narrowMemtableBytes  = 8 << 20  // at most; its first buffer is 32 MiB, on the Go heap
)

// fitNarrow makes Badger's tables fit.
func fitNarrow(o *badger.Options, encrypted bool) {
	o.BlockSize = narrowBlockBytes
	o.BaseTableSize = narrowTableBytes(o.MemTableSize, runtime.NumCPU(), encrypted)
	o.TableSizeMultiplier = 1
	o.NumLevelZeroTablesStall = smallLevelZeroStall
}

// narrowTableBytes is the least Options.TableSize for which every table fits in the first buffer.
func narrowTableBytes(memtable int64, cpus int, encrypted bool) int64 {
	half := int64(1 << 20)
	for !narrowFits(half, memtable, cpus, encrypted) {
		half *= 2
	}
	return half + 1
}

// narrowFits reports whether the tables of a TableSize of half+1 fit in a first buffer of four times half, half being a power of two.
func narrowFits(half, memtable int64, cpus int, encrypted bool) bool {
	const block = narrowBlockBytes + narrowBlockPadding
	// A compaction ends a table when it is told that it is full. Blocks that wait to be encrypted are not told of: at most four for each CPU, and two
	// that are being encrypted.
	compacted := half + 1 + block
	if encrypted {
		compacted += int64(6*cpus) * block
	}
	// A flush puts all of a memtable in one table: what fills it, and one transaction more, of 15 % of it.
	flushed := memtable + memtable*15/100 + block
	most := max(compacted, flushed)
	need := most/narrowBlockBytes*2*block + 2*block
	if encrypted {
		need += most + most/narrowBlockBytes*2*64 // each block once more, with its initialization vector
	}
	return need <= 4*half
}
