package evict

import (
	"slices"
	"sync/atomic"
)

// LFU lets the least read leave first, and of these the longest in memory. A rank is a count of reads, which stops at 255, before the
// order of insertion.
type LFU struct {
	ranks
	order uint32        // of the latest Insert
	reads atomic.Uint32 // since counts were halved last
}

const (
	countShift = 24
	countMax   = 255
	orderMax   = 1<<countShift - 1
	// Counts halve after so many reads an entry: fewer forget what is popular, more never let it go.
	readsPerHalving = 8
)

// NewLFU gives an empty policy.
func NewLFU() *LFU { return &LFU{} }

// Insert counts as no read.
func (l *LFU) Insert(id uint64, size int, _ int64) Slot {
	l.age()
	if l.order == orderMax {
		l.order = l.renumber()
	}
	l.order = min(l.order+1, orderMax)
	return l.insert(id, size, l.order)
}

// Touch counts a read. Of reads at the same instant one may go uncounted.
func (l *LFU) Touch(s Slot) {
	if old := atomic.LoadUint32(&l.rank[s]); old>>countShift < countMax {
		atomic.CompareAndSwapUint32(&l.rank[s], old, old+1<<countShift)
	}
	l.reads.Add(1)
}

// Victims offers the least read first.
func (l *LFU) Victims(bytes int64, evict func(id uint64, size int) bool) int64 {
	l.age()
	return l.ranks.Victims(bytes, evict)
}

// age halves all counts when enough reads went by.
func (l *LFU) age() {
	if int(l.reads.Load()) < readsPerHalving*max(l.Len(), 64) {
		return
	}
	l.reads.Store(0)
	for s, r := range l.rank {
		l.rank[s] = r>>countShift/2<<countShift | r&orderMax
	}
	l.rebuild()
}

// renumber gives entries the smallest numbers that keep their order of insertion. Beyond 16 M entries the last ones share one.
func (l *LFU) renumber() uint32 {
	l.rebuild()
	order := make([]Slot, 0, len(l.heap))
	for _, e := range l.heap {
		order = append(order, e.slot)
	}
	slices.SortFunc(order, func(a, b Slot) int {
		return int(l.rank[a]&orderMax) - int(l.rank[b]&orderMax)
	})
	for i, s := range order {
		l.rank[s] = l.rank[s]&^orderMax | uint32(min(i+1, orderMax))
	}
	l.rebuild()
	return uint32(min(len(order), orderMax))
}
