package evict

import (
	"slices"
	"sync/atomic"
)

// LRU lets the longest unread leave first. A rank is a count of reads: a Touch takes the next one.
type LRU struct {
	ranks
	clock atomic.Uint32
}

// Counts are renewed here, half way: as many Touches again, without an Insert or Victims between them, may still be told apart.
const renewAt = 1 << 31

// NewLRU gives an empty policy.
func NewLRU() *LRU { return &LRU{} }

// Insert counts as a read.
func (l *LRU) Insert(id uint64, size int, _ int64) Slot {
	l.renew()
	return l.insert(id, size, l.tick())
}

// Touch makes the entry the last to leave.
func (l *LRU) Touch(s Slot) { atomic.StoreUint32(&l.rank[s], l.tick()) }

// tick stays at the last count rather than begin again from 0.
func (l *LRU) tick() uint32 {
	if c := l.clock.Add(1); c != 0 {
		return c
	}
	l.clock.Store(^uint32(0))
	return ^uint32(0)
}

// Victims offers the longest unread first.
func (l *LRU) Victims(bytes int64, evict func(id uint64, size int) bool) int64 {
	l.renew()
	return l.ranks.Victims(bytes, evict)
}

// renew gives entries the smallest ranks that keep their order.
func (l *LRU) renew() {
	if l.clock.Load() < renewAt {
		return
	}
	l.clock.Store(l.compress())
}

// compress replaces ranks by places in their order and gives the highest.
func (r *ranks) compress() uint32 {
	r.rebuild()
	slices.SortFunc(r.heap, func(a, b ranked) int {
		if a.less(b) {
			return -1
		}
		return 1
	})
	for i := range r.heap {
		r.heap[i].rank = uint32(i + 1)
		r.rank[r.heap[i].slot] = uint32(i + 1)
	}
	return uint32(len(r.heap))
}
