package offheap

import (
	"fmt"
	"sync"
	"unsafe"
)

// GoHeap takes memory from the Go heap, in arrays without pointers: for systems without mmap, and for tests, since the race
// detector watches the Go heap and not mappings. The collector does not scan such arrays but counts them.
type GoHeap struct {
	mu     sync.Mutex
	arrays map[uint64]*array // by the address that Map gave
	open   map[int]*array    // by size: the array from which the next aligned block of that size comes
}

// An array is cut into several blocks of a size when their alignment is their size: one by one, each would
// waste as much as it holds.
type array struct {
	bytes []byte
	next  uint64 // the next block starts here
	end   uint64 // and no block ends above
	live  int
}

const (
	goHeapPageBytes = 4 << 10 // what a mapping would be rounded to: both sources account alike
	blocksPerArray  = 8
)

// NewGoHeap gives a source that takes from the Go heap.
func NewGoHeap() *GoHeap {
	return &GoHeap{arrays: make(map[uint64]*array), open: make(map[int]*array)}
}

// PageBytes is what mappings are rounded to.
func (g *GoHeap) PageBytes() int { return goHeapPageBytes }

// Map takes from an array that has room, or makes one.
func (g *GoHeap) Map(size, align, _ int) (uint64, error) {
	size = int(alignUp(uint64(size), goHeapPageBytes))
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.open[size]
	if align < size || a == nil || a.next+uint64(size) > a.end {
		count := 1
		if align >= size {
			count = blocksPerArray
		}
		a = newArray(size*count, align)
		if a.end > addrMask {
			return 0, fmt.Errorf("%w: the Go heap lies at %#x, beyond %d bits", ErrNoMemory, a.next, addrBits)
		}
		g.open[size] = a
	}
	addr := a.next
	a.next += uint64(size)
	a.live++
	g.arrays[addr] = a
	return addr, nil
}

func newArray(size, align int) *array {
	b := make([]byte, size+align)
	start := alignUp(uint64(uintptr(unsafe.Pointer(&b[0]))), uint64(align))
	return &array{bytes: b, next: start, end: start + uint64(size)}
}

// Unmap lets the collector have an array when its last block is gone.
func (g *GoHeap) Unmap(addr uint64, size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.arrays[addr]
	if a == nil {
		panic(fmt.Sprintf("offheap: unmap %d bytes at %#x, which were not mapped", size, addr))
	}
	delete(g.arrays, addr)
	if a.live--; a.live == 0 {
		if size = int(alignUp(uint64(size), goHeapPageBytes)); g.open[size] == a {
			delete(g.open, size)
		}
	}
}

// Discard does nothing: the Go heap returns whole arrays only.
func (g *GoHeap) Discard(uint64, int) {}
