package offheap

import "unsafe"

// Ref names an object without being a Go pointer, so the collector never looks at it. Zero is nil.
//
//	63        48 47                          3 2    0
//	┌───────────┬─────────────────────────────┬──────┐
//	│ length    │ address / 8                 │ turn │
//	└───────────┴─────────────────────────────┴──────┘
//
// Length is what was asked for; 0 means that it stands in front of the object, which then has a mapping of its own.
// Turn is always 0 but under the build tag edgemem_poison. Bytes needs nothing but the Ref: no load, no table.
// The alias lets consumers declare interfaces without importing this package.
type Ref = uint64

const (
	addrBits = 48
	addrMask = 1<<addrBits - 8
	turnMask = 7
)

// at makes an address usable. All memory of this package lies outside the Go heap, or in arrays that the source keeps
// alive and the runtime does not move; the detour keeps checkptr from taking such an address for a slip.
func at(addr uint64) unsafe.Pointer {
	a := uintptr(addr)
	return *(*unsafe.Pointer)(unsafe.Pointer(&a))
}

func bytesAt(addr uint64, n int) []byte { return unsafe.Slice((*byte)(at(addr)), n) }

func link16(addr uint64) *uint16 { return (*uint16)(at(addr)) }
