package offheap

import "fmt"

// Objects above the largest class have a mapping each. A header in front tells their length and chains them, so that Drop finds
// them; it takes a cache line, so that arrays start at one.
type largeHeader struct {
	prev, next uint64
	length     int64
	mapped     int64
	pool       uint32
}

const largeHeaderBytes = 64

func largeAt(ref Ref) *largeHeader { return (*largeHeader)(at(ref&addrMask - largeHeaderBytes)) }

func largeBytes(ref Ref) []byte {
	if ref == 0 {
		return nil
	}
	return bytesAt(ref&addrMask, int(largeAt(ref).length))
}

func (p *Pool) allocLarge(n int) (Ref, []byte) {
	if n == 0 {
		return 0, nil
	}
	if n < 0 || uint64(n) > addrMask {
		panic(fmt.Sprintf("offheap: alloc of %d bytes", n))
	}
	size := alignUp(uint64(n)+largeHeaderBytes, uint64(p.heap.src.PageBytes()))
	if size > uint64(^uint(0)>>1) {
		return 0, nil
	}
	align := p.heap.src.PageBytes()
	if size == p.heap.chunkBytes { // a source gives chunks from huge pages
		align = int(size)
	}
	base, err := p.heap.src.Map(int(size), align, p.arena.node)
	if err != nil {
		return 0, nil
	}
	ref := Ref(base + largeHeaderBytes)
	*largeAt(ref) = largeHeader{next: p.large, length: int64(n), mapped: int64(size), pool: p.name}
	if p.large != 0 {
		largeAt(p.large).prev = ref
	}
	p.large = ref
	p.chargeLarge(int64(n), int64(size))
	if poisoned {
		ref = p.debug.allocated(ref)
	}
	return ref, largeBytes(ref)
}

func (p *Pool) freeLarge(ref Ref) {
	if ref == 0 {
		return
	}
	l := largeAt(ref)
	if l.pool != p.name {
		panic(fmt.Sprintf("offheap: free of %#x, which is not of this pool", ref))
	}
	if l.prev != 0 {
		largeAt(l.prev).next = l.next
	} else {
		p.large = l.next
	}
	if l.next != 0 {
		largeAt(l.next).prev = l.prev
	}
	p.unmapLarge(ref)
}

func (p *Pool) unmapLarge(ref Ref) {
	l := *largeAt(ref)
	p.chargeLarge(-l.length, -l.mapped)
	p.heap.src.Unmap(ref&addrMask-largeHeaderBytes, int(l.mapped))
}

func (p *Pool) chargeLarge(length, mapped int64) {
	p.used.Add(mapped)
	p.requested.Add(length)
	p.reserve(mapped)
	p.heap.large.Add(mapped)
}

// AllocArray is Alloc with zeroed bytes, for tables: small ones come from slabs, large ones are fresh from the system, start at
// a cache line and cost no clearing. A table is resized by filling a new one and freeing the old.
func (p *Pool) AllocArray(n int) (Ref, []byte) {
	ref, b := p.Alloc(n)
	if ref>>addrBits != 0 {
		clear(b)
	}
	return ref, b
}
