package offheap

import (
	"fmt"
	"sync/atomic"
)

// Capped lets a source give so much and no more: the last line, above what budgets and pressure keep to, before the system ends the
// process. Beyond it Alloc gives nil.
type Capped struct {
	Source
	limit atomic.Int64
	given atomic.Int64
}

// NewCapped puts a cap on a source.
func NewCapped(src Source, limitBytes int64) *Capped {
	c := &Capped{Source: src}
	c.limit.Store(limitBytes)
	return c
}

// SetLimit changes the cap. What was given above a lower one stays given.
func (c *Capped) SetLimit(limitBytes int64) { c.limit.Store(limitBytes) }

// Map counts before it maps, so that several at once do not pass the cap together.
func (c *Capped) Map(size, align, node int) (uint64, error) {
	n := c.rounded(size)
	if given := c.given.Add(n); given > c.limit.Load() {
		c.given.Add(-n)
		return 0, fmt.Errorf("%w: %d bytes more than %d pass the cap of %d", ErrNoMemory, n, given-n, c.limit.Load())
	}
	addr, err := c.Source.Map(size, align, node)
	if err != nil {
		c.given.Add(-n)
	}
	return addr, err
}

// Unmap gives room again.
func (c *Capped) Unmap(addr uint64, size int) {
	c.Source.Unmap(addr, size)
	c.given.Add(-c.rounded(size))
}

func (c *Capped) rounded(size int) int64 { return int64(alignUp(uint64(size), uint64(c.PageBytes()))) }
