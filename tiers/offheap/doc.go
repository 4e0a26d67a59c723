// Package offheap keeps bytes outside the Go heap: pools of size classes on anonymous mappings, and the account of every byte. The
// collector does not see what lies there, so that its work does not grow with what a node remembers.
//
//	Source   mmap, or arrays of the Go heap where there is none                      source.go, mmap_unix.go, goheap.go
//	└─ Heap  chunks of 64 KiB to 1 MiB, one arena for each memory node               heap.go, numa.go
//	   ├─ arena   cuts chunks into blocks of powers of two from 256 B (buddy system)  arena.go
//	   └─ Pool    one owner and purpose: what one region keeps of one kind           pool.go
//	      ├─ bin     one size class: its slabs, by whether they have room             slab.go, class.go
//	      │  └─ slab    a block cut into slots
//	      └─ large   objects beyond the classes, a mapping each                      large.go
//
// A Ref is the address and the length of an object in one word without a Go pointer, so that Bytes loads nothing.
//
// # Small and large pools
//
// A node may have ten thousand regions of a kilobyte, or one of many gigabytes. A pool therefore starts with slabs of the
// fewest bytes that hold one object, cut from chunks that all pools share, and each later slab is about a quarter of what its class
// has, up to 64 KiB. An empty pool is one small Go object and no block at all.
//
// # Giving back
//
// A pool keeps at most one empty slab a class, until its Trim has seen it idle for a while; a further one goes back
// at once. Blocks join again in their chunk. The heap's Trim unmaps chunks that stay free, and gives back the memory
// behind large free blocks of the others. One slot in use holds its slab: where objects of many ages shrink to few, MarkSparse
// picks the slabs that are worth emptying and the owner moves what Sparse says (sparse.go).
//
// # Invariants
//
//   - Requested ≤ Used ≤ Reserved for every pool, after every call; sums over pools are the heap's.
//   - What is mapped is what pools reserve, what is free in chunks, and the chunks' heads; nothing else.
//   - An object does not move, and no byte of it changes, until its Free.
//   - Memory of the Go heap is never referred to from here, and no Ref keeps anything alive.
//
// # Concurrency
//
// A Pool has one writer at a time, whose lock is the owner's, and readers of Bytes while no writer runs. Usage may be
// read at any time, and a Heap used from anywhere: it is locked only where a pool gains or returns a slab.
//
// # Cost
//
//	Bytes        no load beside the object's own; about 1 ns
//	Alloc, Free  O(1); two locked additions each, which are half of it; no Go allocation
//	Drop         O(slabs + mappings)
//	slots        5 % larger than asked for on average, 12.5 % at most above 64 bytes
//	slabs        32 bytes each, and a tail of at most 6 % in slabs of full size
//	chunks       a byte in 256, and 64
//	empty pool   176 bytes of Go heap; about 56 for each class that it uses
//
// # Limits
//
// Addresses must fit 48 bits; where the system maps higher, Alloc gives nil. Objects beyond the largest class, a sixteenth of
// a chunk or 32 KiB, cost two system calls and are rounded to pages; kernels limit how many mappings a process has
// (65,530 on Linux by default), though they join neighbours. A Ref is trusted: made up, or used after its Free, it reads
// other objects or faults. The build tag edgemem_poison finds such use (poison_on.go); tests run under both.
package offheap
