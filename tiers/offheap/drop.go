package offheap

import (
	"fmt"
	"time"
)

// Drop frees all objects at once, in time that grows with slabs and mappings rather than with objects. The pool is then as new.
func (p *Pool) Drop() {
	for i := range p.bins {
		for b := &p.bins[i]; len(b.slabs) > 0; {
			p.release(b, b.at(uint32(len(b.slabs))))
		}
	}
	for ref := p.large; ref != 0; {
		next := largeAt(ref).next
		p.unmapLarge(ref)
		ref = next
	}
	p.bins, p.large, p.slot = nil, 0, [classCount]uint8{}
	p.used.Store(0)
	p.requested.Store(0)
	if poisoned {
		p.debug.dropped()
	}
}

// Close drops the pool and takes it off the heap's account. Its error says what the owner had not freed; under the build tag
// edgemem_poison it names where that was allocated. Closing twice does nothing more.
func (p *Pool) Close() error {
	if p.heap == nil {
		return nil
	}
	err := p.leaks()
	p.Drop()
	p.heap.forget(p)
	p.heap = nil
	return err
}

func (p *Pool) leaks() error {
	bytes := p.requested.Load()
	if bytes == 0 {
		return nil
	}
	if poisoned {
		return fmt.Errorf("offheap: %v pool closed with %d bytes in use:%s", p.purpose, bytes, p.debug.leaks())
	}
	return fmt.Errorf("offheap: %v pool closed with %d bytes in use", p.purpose, bytes)
}

// Trim returns the empty slabs that have been kept for as long as idle, and tells how many bytes that were. The heap keeps them for
// other pools until its own Trim.
func (p *Pool) Trim(now time.Time, idle time.Duration) (returned int64) {
	for i := range p.bins {
		b := &p.bins[i]
		if b.spare == 0 || !expired(since(b.slabs[b.spare-1]), now, idle) {
			continue
		}
		s := b.at(b.spare)
		returned += int64(blockBytes(s.order))
		p.release(b, s)
		b.spare = 0
	}
	return returned
}
