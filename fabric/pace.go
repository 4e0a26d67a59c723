package fabric

import (
	"math"
	"sync/atomic"
	"time"
)

// pace measures how fast bytes come, by windows. It is written by one goroutine and read by any.
type pace struct {
	total atomic.Uint64
	begun atomic.Int64  // of the window, Unix ns
	had   atomic.Uint64 // total when the window began
	rate  atomic.Uint64 // bytes a second in the last window
	least atomic.Uint64 // bytes a second below which it is slow
}

const (
	paceWindow = 2 * time.Second
	// briskRate is what a pull must bring, bytes a second, to keep others from asking for the same regions.
	briskRate = 16 << 10
)

// brisk is briskRate, or less on a link that is limited.
func brisk(limit int) uint64 {
	if limit > 0 {
		return uint64(min(briskRate, limit/2))
	}
	return briskRate
}

func (p *pace) start(least uint64) {
	p.begun.Store(time.Now().UnixNano())
	p.rate.Store(math.MaxUint64) // nothing is known yet
	p.least.Store(least)
}

func (p *pace) add(n int) {
	total := p.total.Add(uint64(n))
	now := time.Now().UnixNano()
	took := time.Duration(now - p.begun.Load())
	if took < paceWindow {
		return
	}
	p.rate.Store(uint64(float64(total-p.had.Load()) / took.Seconds()))
	p.had.Store(total)
	p.begun.Store(now)
}

// brisk reports whether enough came lately.
func (p *pace) brisk() bool {
	return p.rate.Load() >= p.least.Load() && time.Now().UnixNano()-p.begun.Load() < 2*int64(paceWindow)
}
