package offheap

import "errors"

// Source is where a Heap gets memory from. Map and Unmap may be called from several goroutines.
type Source interface {
	// Map gives size zeroed bytes at a multiple of align, a power of two. On machines with several memory nodes
	// it prefers the given one; below 0 means any.
	Map(size, align int, node int) (addr uint64, err error)
	// Unmap takes back all of what one Map gave.
	Unmap(addr uint64, size int)
	// Discard gives the memory behind whole pages back and keeps their addresses. What they held is lost.
	Discard(addr uint64, size int)
	// PageBytes is the granularity of Discard, and of mappings.
	PageBytes() int
}

// ErrNoMemory is what a Source says when the system has none left, or none at addresses that a Ref can hold.
var ErrNoMemory = errors.New("offheap: no memory")

func alignUp(n, to uint64) uint64 { return (n + to - 1) &^ (to - 1) }
